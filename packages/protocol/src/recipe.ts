import { z } from "zod"

import { LaminaError } from "./errors.js"
import { HELD_PRECISIONS } from "./held-precision.js"
import { LIMITS } from "./limits.js"

const rank = z.int().min(1).max(LIMITS.rankMax)
const precision = z.enum(HELD_PRECISIONS)

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
})

const cohort = z.strictObject({
  /** Clients that must be online before the first round starts. */
  clients: z.int().min(1).max(100_000).default(1),
  /** Share of the cohort whose updates must be in at the hard deadline, else the round is abandoned. */
  quorum: z.number().gt(0).lte(1).default(0.6),
  softDeadlineMs: z.int().min(1_000).max(604_800_000).default(600_000),
  hardDeadlineMs: z.int().min(1_000).max(604_800_000).default(900_000),
})

const globalAdapter = z.strictObject({
  /** Relative Frobenius error allowed when compressing after a round; 0: lossless. */
  tau: z.number().min(0).lt(1).default(0),
  maxRank: rank.optional(),
})

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

/** One virtual client of `lamina simulate`; paths are relative to the recipe. */
const simulatedClient = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "lower-case letters, digits and dashes"),
  data,
  /** Held-out data of this client, scored after every round. */
  heldOut: data.optional(),
  rank: rank.optional(),
  precision: precision.default("q8"),
})

/** The validated configuration of a run (YAML or JSON). */
export const Recipe = z
  .strictObject({
    name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "lower-case letters, digits and dashes"),
    /** Folder of the base, relative to the recipe. */
    base: z.string().min(1),
    rounds: z.int().min(1).max(100_000).default(3),
    seed: z.int().min(0).max(0xffff_ffff).default(0),
    strategy: z.enum(["flora", "fedit"]).default("flora"),
    privacy: z.strictObject({ mode: z.literal("open").default("open") }).prefault({}),
    weightBy: z.enum(["tokens", "examples", "equal"]).default("tokens"),
    lora: lora.prefault({}),
    training: training.prefault({}),
    cohort: cohort.prefault({}),
    globalAdapter: globalAdapter.prefault({}),
    simulation: z.strictObject({ clients: z.array(simulatedClient).min(1).max(100_000) }).optional(),
  })
  .superRefine((recipe, context) => {
    if (recipe.cohort.hardDeadlineMs < recipe.cohort.softDeadlineMs)
      context.addIssue({
        code: "custom",
        path: ["cohort", "hardDeadlineMs"],
        message: "expected at least softDeadlineMs",
      })
    const names = recipe.simulation?.clients.map((client) => client.name) ?? []
    for (const [i, name] of names.entries())
      if (names.indexOf(name) !== i)
        context.addIssue({
          code: "custom",
          path: ["simulation", "clients", i, "name"],
          message: `expected unique names, got "${name}" twice`,
        })
    const ranks = new Set(recipe.simulation?.clients.map((client) => client.rank ?? recipe.lora.rank))
    if (recipe.strategy === "fedit" && ranks.size > 1)
      context.addIssue({
        code: "custom",
        path: ["strategy"],
        message: `"fedit" averages A and B and needs equal ranks, got ${[...ranks].join(", ")}; choose "flora"`,
      })
  })
export type Recipe = z.infer<typeof Recipe>
export type RecipeData = z.infer<typeof data>
export type RecipeInput = z.input<typeof Recipe>

/**
 * Unknown data -> Recipe, or RECIPE_INVALID whose message has one line per issue: path, what was expected, what came.
 */
export function parseRecipe(data: unknown): Recipe {
  const result = Recipe.safeParse(data, { reportInput: true })
  if (result.success) return result.data
  const message = result.error.issues.map(describeIssue).join("\n")
  throw new LaminaError("RECIPE_INVALID", message, { hint: "docs/recipes.md lists every key with its bounds" })
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const path = issue.path.length > 0 ? issue.path.join(".") : "recipe"
  if (issue.code === "unrecognized_keys") {
    const known = knownKeys(issue.path)
    const unknown = issue.keys.map((key) => `"${key}"`).join(", ")
    return `${path}: expected the keys ${known.join(", ")}, got ${unknown}`
  }
  if (issue.code === "custom") return `${path}: ${issue.message}`
  return `${path}: ${issue.message} (got ${describeInput(issue.input)})`
}

function describeInput(input: unknown): string {
  if (input === undefined) return "nothing"
  if (typeof input !== "object" || input === null) return JSON.stringify(input) ?? typeof input
  return Array.isArray(input) ? `a list of ${input.length}` : "an object"
}

/** JSON Schema of what a recipe file may say, for editors. */
export function recipeJsonSchema(): unknown {
  return z.toJSONSchema(Recipe, { io: "input" })
}

interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly items?: SchemaNode
  readonly default?: unknown
}

function knownKeys(path: readonly PropertyKey[]): string[] {
  let node: SchemaNode | undefined = recipeJsonSchema() as SchemaNode
  for (const step of path) node = typeof step === "number" ? node?.items : node?.properties?.[String(step)]
  return Object.keys(node?.properties ?? {})
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
    return [{ path, fallback: node.default === undefined ? undefined : JSON.stringify(node.default) }]
  }
  return walk(recipeJsonSchema() as SchemaNode, "")
}
