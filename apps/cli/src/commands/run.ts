import { readFile } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"

import { askCoordinator, coordinatorUrl } from "../coordinator-http.js"
import { counted } from "../output/counted.js"
import { printJson } from "../output/json.js"
import { loadRecipe, ofRecipe } from "../recipe-file.js"
import { runBase } from "../run-base.js"

interface RunOptions {
  readonly coordinator: string
  readonly tokenFile: string
  readonly json?: boolean
}

/** `lamina run`: hands a recipe to a coordinator that can read the base's folder. */
export async function startRun(recipePath: string, options: RunOptions): Promise<void> {
  const coordinator = coordinatorUrl(options.coordinator)
  const { recipe } = await loadRecipe(recipePath)
  const { base, modules } = await ofRecipe(recipePath, () => runBase(recipe))
  const run = await askCoordinator<{ id: string; state: string }>(coordinator, "v1/runs", {
    method: "POST",
    token: await readToken(options.tokenFile),
    body: { recipe, base, modules },
  })
  if (options.json) printJson(run)
  else
    process.stdout.write(
      `run ${run.id} ${run.state}; it starts with ${counted(recipe.cohort.clients ?? 1, "client")}\n`,
    )
}

/** The admin token of a coordinator's data folder. FILE_UNREADABLE. */
export async function readToken(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new LaminaError("FILE_UNREADABLE", `cannot read the admin token ${path}: ${cause.code ?? cause.message}`, {
      cause,
      hint: "it is admin.token in the coordinator's data folder; name it with --token-file",
    })
  })
  return text.trim()
}
