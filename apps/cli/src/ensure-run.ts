import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"
import type { Recipe } from "@lamina/protocol/recipe"
import type { RunningCoordinator } from "@lamina/server"

import { readIfThere, writeText } from "./output/files.js"
import { runBase } from "./run-base.js"

/**
 * The run of this recipe's name in a coordinator's data folder, or a new one. RUN_STATE where the folder has a run of
 * that name under another recipe: going on with it would answer a question nobody asked. FILE_UNREADABLE,
 * FILE_UNWRITABLE, STORAGE_FULL, and the codes of runBase, before anything of a new run is written.
 */
export async function ensureRun(
  coordinator: RunningCoordinator,
  dataDir: string,
  recipe: Recipe,
  hint = "use another folder, or give the recipe another name",
): Promise<{ id: string; state: string; existed: boolean }> {
  const kept = join(dataDir, `recipe-${recipe.name}.json`)
  const text = `${JSON.stringify(recipe, undefined, 2)}\n`
  const existing = coordinator.runs().findLast((run) => run.name === recipe.name)
  if (existing) {
    const before = await readIfThere(kept)
    if (before !== undefined && before !== text)
      throw new LaminaError(
        "RUN_STATE",
        `${dataDir} has run ${existing.id} of this name under another recipe (${kept})`,
        { hint },
      )
    return { id: existing.id, state: existing.state, existed: true }
  }
  const { base, modules } = await runBase(recipe)
  await writeText(kept, text)
  const { id, state } = await coordinator.createRun({ recipe, base, modules })
  return { id, state, existed: false }
}
