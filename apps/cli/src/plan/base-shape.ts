import { LaminaError } from "@lamina/protocol/errors"
import type { BaseShape } from "@lamina/planner"
import { inspectModel, moduleShapes } from "@lamina/tuner"

/**
 * What the planner needs to know of a base, from the headers of its files: its shape, the linears that `targetModules`
 * names, and the bytes of its matrices in memory at each precision. RECIPE_INVALID for a linear it does not have,
 * MODEL_UNSUPPORTED, and the codes of inspectModel.
 */
export async function baseShapeOf(path: string, targetModules: "all-linear" | readonly string[]): Promise<BaseShape> {
  const { config, memory, problem } = await inspectModel(path, { rank: 1, tokens: 1 })
  if (config === undefined || memory === undefined)
    throw new LaminaError("MODEL_UNSUPPORTED", `${path}: ${problem ?? "expected a model that Lamina computes"}`)
  const { hidden, layers, heads, kvHeads, headDim, ffn, vocabulary } = config
  const { f32, bf16, q8, q4, nf4 } = memory.hold
  return {
    ...{ hidden, layers, heads, kvHeads, headDim, ffn, vocabulary },
    modules: moduleShapes(config, targetModules),
    bytes: { f32, bf16, q8, q4, nf4 },
  }
}
