import type { BaseShape } from "@lamina/planner"
import { LaminaError } from "@lamina/protocol/errors"
import type { Recipe } from "@lamina/protocol/recipe"
import { moduleShapes, readModelConfig } from "@lamina/tuner"
import type { ModuleShape } from "@lamina/tuner"

import { baseShapeOf } from "./plan/base-shape.js"

/** What a coordinator is told of a run's base, from the headers of its files. */
interface RunBase {
  readonly base: { readonly folder: string; readonly shape: BaseShape }
  readonly modules: ModuleShape[]
}

/**
 * Reads a recipe's base. RECIPE_INVALID for a linear that it does not have, or a context that is longer than its own,
 * which no client could train; the codes of baseShapeOf.
 */
export async function runBase({ base: folder, lora, training }: Recipe): Promise<RunBase> {
  const config = await readModelConfig(folder)
  if (training.context > config.context)
    throw new LaminaError(
      "RECIPE_INVALID",
      `training.context: expected at most ${config.context}, the context of ${folder}, got ${training.context}`,
    )
  const modules = moduleShapes(config, lora.targetModules)
  return { base: { folder, shape: await baseShapeOf(folder, lora.targetModules) }, modules }
}
