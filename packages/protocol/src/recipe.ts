import { z } from "zod"

import { LaminaError } from "./errors.js"
import { LIMITS } from "./limits.js"
import { describeIssue } from "./recipe-issues.js"
import type { SchemaNode } from "./recipe-issues.js"
import { simulatedClients, simulation } from "./recipe-simulation.js"
import { STRATEGY_NAMES } from "./strategy-names.js"
import { STRATEGY_OPTIONS, strategyIssues } from "./strategy-rules.js"

const rank = z.int().min(1).max(LIMITS.rankMax)

const lora = z.strictObject({
  rank: rank.default(16),
  /** alpha of a client of rank r is alphaPerRank * r, so that clients of all ranks step alike; s = alpha / r. */
  alphaPerRank: z.number().positive().default(2),
  scaling: z.enum(["lora", "rslora"]).default("lora"),
  dropout: z.number().min(0).lt(1).default(0),
  /** By the names PEFT uses, which differ between families; the coordinator checks them against the base. */
  targetModules: z.union([z.literal("all-linear"), z.array(z.string().min(1)).min(1)]).default("all-linear"),
})

const training = z.strictObject({
  steps: z.int().min(1).max(1_000_000).default(20),
  batch: z.int().min(1).max(4_096).default(4),
  /** Tokens per sequence. */
  context: z.int().min(8).max(131_072).default(256),
  accumulate: z.int().min(1).max(1_024).default(1),
  learningRate: z.number().positive().max(1).default(2e-3),
  schedule: z.enum(["constant", "linear", "cosine"]).default("cosine"),
  warmupSteps: z.int().min(0).default(0),
  /** L2 norm over all trained tensors; 0: no clipping. */
  clipNorm: z.number().min(0).default(1),
  weightDecay: z.number().min(0).default(0),
  lossOn: z.enum(["all", "response"]).default("all"),
  /** Less memory for more time, with the same result. */
  gradientCheckpointing: z.boolean().default(false),
  /** mu of FedProx: mu/2 ||w - w_start||² is added to the loss (Li et al. 2020, arXiv:1812.06127); 0: none. */
  proximal: z.number().min(0).max(100).default(0),
})

const cohort = z.strictObject({
  /** Updates a round wants; default: 1 for a service, every client for a simulation. */
  clients: z.int().min(1).max(100_000).optional(),
  /** Clients drawn for each update wanted: 1.3 draws 30 % more, and the round closes when enough are in. */
  overSelection: z.number().min(1).max(10).default(1),
  /** Share of the wanted updates that must be in at a deadline, else the round is abandoned. */
  quorum: z.number().gt(0).lte(1).default(0.6),
  softDeadlineMs: z.int().min(1_000).max(604_800_000).default(600_000),
  hardDeadlineMs: z.int().min(1_000).max(604_800_000).default(900_000),
  /**
   * Buffered asynchronous rounds (FedBuff, Nguyen et al. 2022, arXiv:2106.06639): a round closes when `size` updates
   * are in, whichever round they were trained for; an update `t` rounds late weighs (1 + t)^-stalenessPower.
   */
  buffer: z
    .strictObject({
      size: z.int().min(1).max(100_000).default(10),
      stalenessPower: z.number().min(0).max(10).default(0.5),
      /** Later ones are dropped. */
      stalenessMax: z.int().min(0).max(100).default(8),
    })
    .optional(),
})

const globalAdapter = z.strictObject({
  /** Relative Frobenius error allowed when compressing after a round; 0: lossless. */
  tau: z.number().min(0).lt(1).default(0),
  maxRank: rank.optional(),
  /** Float bases only: clients add the global adapter to their copy of the base instead of keeping it as factors. */
  merge: z.boolean().default(false),
  /** Keep every accepted update, so that a client's contributions can be removed again (`lamina forget`). */
  keepUpdates: z.boolean().default(false),
})

const strategyOptions = z.strictObject({
  tau: z.number().min(0).lt(1).default(STRATEGY_OPTIONS.tau.fallback),
  pruneTo: z.number().gt(0).lte(1).default(STRATEGY_OPTIONS.pruneTo.fallback),
  combine: z.enum(["stack", "pad"]).default(STRATEGY_OPTIONS.combine.fallback),
  probeSteps: z.int().min(1).max(10_000).default(STRATEGY_OPTIONS.probeSteps.fallback),
  perClient: z.boolean().default(STRATEGY_OPTIONS.perClient.fallback),
})

/** FedOpt (Reddi et al. 2021, arXiv:2003.00295) on the averaged factors; for averaging strategies. */
const serverOptimizer = z.strictObject({
  name: z.enum(["none", "avgm", "adam", "yogi"]).default("none"),
  learningRate: z.number().positive().max(100).default(1),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.99),
  /** Adaptivity: what is added to the root of the second moment. */
  tau: z.number().positive().default(1e-3),
})

/**
 * The configuration of a run (YAML or JSON), key by key. A run is made from what `parseRecipe` took; what is stored of
 * it is read by this, so that a rule of a later version keeps no coordinator from its runs.
 */
export const Recipe = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "lower-case letters, digits and dashes"),
  /** Folder of the base, relative to the recipe. */
  base: z.string().min(1),
  rounds: z.int().min(1).max(100_000).default(3),
  seed: z.int().min(0).max(0xffff_ffff).default(0),
  strategy: z.enum(STRATEGY_NAMES).default("flora"),
  strategyOptions: strategyOptions.prefault({}),
  serverOptimizer: serverOptimizer.prefault({}),
  privacy: z.strictObject({ mode: z.literal("open").default("open") }).prefault({}),
  weightBy: z.enum(["tokens", "examples", "equal"]).default("tokens"),
  lora: lora.prefault({}),
  training: training.prefault({}),
  cohort: cohort.prefault({}),
  globalAdapter: globalAdapter.prefault({}),
  simulation: simulation.optional(),
})
export type Recipe = z.infer<typeof Recipe>

/** A recipe of which no key contradicts another, and whose rounds can close. */
const ConsistentRecipe = Recipe.superRefine((recipe, context) => {
  const refuse = (path: string[], message: string): void => context.addIssue({ code: "custom", path, message })
  const { cohort, training, simulation } = recipe
  if (cohort.hardDeadlineMs < cohort.softDeadlineMs)
    refuse(["cohort", "hardDeadlineMs"], "expected at least softDeadlineMs")
  if (training.warmupSteps > training.steps)
    refuse(
      ["training", "warmupSteps"],
      `expected at most training.steps (${training.steps}): the schedule is that of one round`,
    )
  for (const { path, message } of strategyIssues(recipe)) refuse(path, message)
  const atATime = cohort.clients ?? simulatedClients(simulation) ?? 1 // each of them has one update at most in a round
  const { size = 0 } = cohort.buffer ?? {}
  if (size > atATime)
    refuse(["cohort", "buffer", "size"], `expected at most ${atATime}, as many clients as train at a time, got ${size}`)
})
export { SimulatedDevice } from "./recipe-simulation.js"
export type { Partition, RecipeData } from "./recipe-simulation.js"
export type RecipeInput = z.input<typeof Recipe>

/**
 * Unknown data -> Recipe, or RECIPE_INVALID whose message has one line per issue: path, what was expected, what came.
 */
export function parseRecipe(data: unknown): Recipe {
  const result = ConsistentRecipe.safeParse(data, { reportInput: true })
  if (result.success) return result.data
  const schema = recipeJsonSchema() as SchemaNode
  const message = result.error.issues.map((issue) => describeIssue(issue, schema)).join("\n")
  throw new LaminaError("RECIPE_INVALID", message, { hint: "docs/recipes.md lists every key with its bounds" })
}

/** JSON Schema of what a recipe file may say, for editors. */
export function recipeJsonSchema(): unknown {
  return z.toJSONSchema(Recipe, { io: "input" })
}

/**
 * Every key as a dotted path (`simulation.clients[].rank`) with its default as JSON, undefined where it must be given
 * or is optional.
 */
export function recipeKeys(): { path: string; fallback: string | undefined }[] {
  const walk = (node: SchemaNode, path: string): { path: string; fallback: string | undefined }[] => {
    if (node.properties)
      return Object.entries(node.properties).flatMap(([key, child]) =>
        walk(child, path === "" ? key : `${path}.${key}`),
      )
    if (node.items?.properties) return walk(node.items, `${path}[]`)
    if (typeof node.additionalProperties === "object") return walk(node.additionalProperties, `${path}.*`)
    return [{ path, fallback: node.default === undefined ? undefined : JSON.stringify(node.default) }]
  }
  return walk(recipeJsonSchema() as SchemaNode, "")
}
