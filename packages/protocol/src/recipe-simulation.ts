import { z } from "zod"

import { HELD_PRECISIONS } from "./held-precision.js"
import { LIMITS } from "./limits.js"

/** What `lamina simulate` reads of a recipe: virtual devices, and who holds which data. */
const rank = z.int().min(1).max(LIMITS.rankMax)
const precision = z.enum(HELD_PRECISIONS)
const share = z.number().min(0).max(1)
const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "lower-case letters, digits and dashes")

/** Data of a client: a file, or a file and how its rows are to be read. Paths are relative to the recipe. */
const data = z.union([
  z.string().min(1),
  z.strictObject({
    path: z.string().min(1),
    promptField: z.string().min(1).optional(),
    responseField: z.string().min(1).optional(),
    textField: z.string().min(1).optional(),
    messagesField: z.string().min(1).optional(),
    chatTemplate: z.boolean().optional(),
    separator: z.string().min(1).optional(),
  }),
])
export type RecipeData = z.infer<typeof data>

/** A virtual machine: what it has, how fast it is by the virtual clock, how reliable it is. */
export const SimulatedDevice = z.strictObject({
  memoryBytes: z
    .number()
    .positive()
    .default(8 * 2 ** 30),
  /** Of LoRA training with the reference plan (every linear, rank 16) on this recipe's base. */
  tokensPerSecond: z.number().positive().default(1_000),
  uploadBytesPerSecond: z.number().positive().default(10e6),
  downloadBytesPerSecond: z.number().positive().default(10e6),
  /** Chance to be there when a round draws its cohort. */
  availability: z.number().gt(0).max(1).default(1),
  /** Chance to be gone for good in the middle of a round, and to stop and start again from its checkpoint. */
  dropout: share.default(0),
  crash: share.default(0),
  /** Largest rank it trains and storage of its base; a client's own setting goes first. */
  rank: rank.optional(),
  precision: precision.optional(),
  /** Largest global adapter and largest update it moves; none: any. */
  downloadBytesMax: z.int().min(1).optional(),
  uploadBytesMax: z.int().min(1).optional(),
})

/** One virtual client that is named by hand. */
const simulatedClient = z.strictObject({
  name,
  data,
  /** Held-out data of this client, scored after every round. */
  heldOut: data.optional(),
  rank: rank.optional(),
  precision: precision.optional(),
  /** A name in `devices`. */
  device: name.optional(),
})

/** How the rows of one data set go to `count` clients. */
const partition = z.discriminatedUnion("kind", [
  /** Rows shuffled, the same number for everybody. */
  z.strictObject({ kind: z.literal("iid") }),
  /** Each key's rows are split by Dirichlet(alpha) (Hsu et al. 2019, arXiv:1909.06335): small alpha, few keys each. */
  z.strictObject({ kind: z.literal("dirichlet"), alpha: z.number().positive().max(1_000), key: z.string().min(1) }),
  /** Rows sorted by key, cut into pieces, `perClient` of them each (McMahan et al. 2017, arXiv:1602.05629). */
  z.strictObject({ kind: z.literal("shards"), perClient: z.int().min(1).default(2), key: z.string().min(1) }),
  /** One key, one client: the `count` keys with most rows, or all where there are fewer. */
  z.strictObject({ kind: z.literal("natural"), key: z.string().min(1) }),
  /** IID rows, numbers of them by Dirichlet(alpha). */
  z.strictObject({ kind: z.literal("quantity"), alpha: z.number().positive().max(1_000) }),
])
export type Partition = z.infer<typeof partition>

/** Many virtual clients over one data set. */
const population = z.strictObject({
  count: z.int().min(1).max(100_000),
  data,
  partition: partition.prefault({ kind: "iid" }),
  /** Share of every client's rows (the last ones after shuffling) that is held out and scored. */
  heldOutShare: z.number().min(0).lt(1).default(0.1),
  /** Every client's rows at most; rows beyond are left out. */
  rowsMax: z.int().min(1).optional(),
  /** Largest rank of client 1, 2, ...; starts again at its end. Default: the device's, else `lora.rank`. */
  ranks: z.array(rank).min(1).optional(),
  /** Device of client 1, 2, ...; starts again at its end. */
  devices: z.array(name).min(1).optional(),
})

export const simulation = z
  .strictObject({
    clients: z.array(simulatedClient).min(1).max(100_000).optional(),
    population: population.optional(),
    /** Named virtual machines; a client without one is of the kind `device` describes by its defaults. */
    devices: z.record(name, SimulatedDevice).default({}),
    /** How many of the clients with held-out data are scored after a round; default: all. Drawn by the seed. */
    scoredClients: z.int().min(1).optional(),
    /** Score every so many rounds; the last one always is. */
    scoreEvery: z.int().min(1).default(1),
  })
  .superRefine(({ clients, population, devices }, context) => {
    const refuse = (path: (string | number)[], message: string) => context.addIssue({ code: "custom", path, message })
    if ((clients === undefined) === (population === undefined))
      refuse(["clients"], "expected either clients or population")
    const names = clients?.map((client) => client.name) ?? []
    for (const [i, client] of names.entries())
      if (names.indexOf(client) !== i) refuse(["clients", i, "name"], `expected unique names, got "${client}" twice`)
    const known = Object.keys(devices).join(", ") || "none"
    for (const [i, { device: used }] of (clients ?? []).entries())
      if (used !== undefined && !Object.hasOwn(devices, used))
        refuse(["clients", i, "device"], `expected one of devices (${known}), got "${used}"`)
    for (const [i, used] of (population?.devices ?? []).entries())
      if (!Object.hasOwn(devices, used))
        refuse(["population", "devices", i], `expected one of devices (${known}), got "${used}"`)
  })
export type SimulationRecipe = z.infer<typeof simulation>
/** How many clients a simulation has at most; undefined without one. */
export function simulatedClients(of: SimulationRecipe | undefined): number | undefined {
  return of?.clients?.length ?? of?.population?.count
}
export type SimulatedDevice = z.infer<typeof SimulatedDevice>
