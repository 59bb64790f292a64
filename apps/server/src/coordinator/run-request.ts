import { z } from "zod"

import type { BaseShape as PlannerShape } from "@lamina/planner"
import { HELD_PRECISIONS, LIMITS } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"
import { Recipe, parseRecipe } from "@lamina/protocol/recipe"

const features = z.int().min(1).max(LIMITS.featuresMax)

/** A linear layer of the base that is to get an adapter. */
export const TrainedModule = z.strictObject({
  name: z.string().min(1).max(LIMITS.nameBytesMax),
  outFeatures: features,
  inFeatures: features,
})
export type TrainedModule = z.infer<typeof TrainedModule>

const size = z.int().min(1).max(LIMITS.featuresMax)
/** Sizes of the base, for planning: the coordinator never looks into a model's files itself. */
const BaseShape = z.strictObject({
  hidden: size,
  layers: size,
  heads: size,
  kvHeads: size,
  headDim: size,
  ffn: size,
  vocabulary: size,
  modules: z.array(TrainedModule).min(1).max(LIMITS.modulesMax),
  /** Bytes of the weights in memory by precision. */
  bytes: z.record(z.enum(HELD_PRECISIONS), z.number().positive()),
}) satisfies z.ZodType<PlannerShape>

/** What POST /v1/runs takes. `base.folder` is on the coordinator's disk. */
export const RunRequest = z.strictObject({
  recipe: Recipe,
  base: z.strictObject({
    folder: z.string().min(1).max(4_096),
    /** Strategy `fedpipe` cannot plan without it. */
    shape: BaseShape.optional(),
  }),
  modules: z
    .array(TrainedModule)
    .min(1)
    .max(LIMITS.modulesMax)
    .refine((modules) => new Set(modules.map(({ name }) => name)).size === modules.length, "expected unique names"),
})
export type RunRequest = z.output<typeof RunRequest>
/** As a caller writes it: recipe keys with defaults may be left out. */
export type RunRequestInput = Omit<z.input<typeof RunRequest>, "base"> & {
  readonly base: { readonly folder: string; readonly shape?: PlannerShape }
}

/** Unknown data -> RunRequest, or RECIPE_INVALID with one line per issue. */
export function parseRunRequest(data: unknown): RunRequest {
  const { recipe, ...rest } = typeof data === "object" && data !== null ? (data as Record<string, unknown>) : {}
  const checked = parseRecipe(recipe)
  const result = RunRequest.omit({ recipe: true }).safeParse(rest)
  if (result.success) return { recipe: checked, ...result.data }
  const lines = result.error.issues.map((issue) => `${issue.path.join(".") || "request"}: ${issue.message}`)
  throw new LaminaError("RECIPE_INVALID", lines.join("\n"))
}
