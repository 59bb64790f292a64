import { stat } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"

import { listModels, removeModel, repoFolder } from "../../hub/model-cache.js"
import { requireModelName } from "../../hub/model-name.js"
import { modelsFolder } from "../../hub/models-folder.js"
import { withLock } from "../../hub/repo-lock.js"
import { untilInterrupted } from "../../interrupt.js"
import { printJson } from "../../output/json.js"
import { formatBytes } from "../../output/table.js"

/** `lamina model remove`: takes a model out of the cache, all its files and revisions. */
export async function removeCommand(model: string, options: { json?: boolean }): Promise<void> {
  const name = requireModelName(model)
  if (name.file !== undefined || model.includes("@"))
    throw new LaminaError("USAGE", `${model}: expected org/repo, a model is removed whole`)
  const models = modelsFolder()
  const repo = repoFolder(models, name.repo)
  if ((await stat(repo.root).catch(() => undefined)) === undefined)
    throw new LaminaError("NOT_FOUND", `${name.repo}: is not in ${models}`, { hint: "lamina model list" })
  const found = (await listModels(models)).find((entry) => entry.repo === name.repo)
  const onWait = (holder: string): void =>
    void process.stderr.write(`${holder} uses this model; waiting for it (lock file ${repo.lock})\n`)
  await untilInterrupted((signal) => withLock(repo.lock, { signal, onWait }, () => removeModel(repo)))
  const bytes = found?.bytes ?? 0
  if (options.json) printJson({ model: name.repo, bytes })
  else process.stdout.write(`${name.repo} removed, ${formatBytes(bytes)} free again\n`)
}
