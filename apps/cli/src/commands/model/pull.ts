import { LaminaError } from "@lamina/protocol/errors"

import { hubConfig } from "../../hub/hub-config.js"
import { requireModelName, showModelName } from "../../hub/model-name.js"
import type { ModelName } from "../../hub/model-name.js"
import { modelsFolder } from "../../hub/models-folder.js"
import { pull } from "../../hub/pull.js"
import { untilInterrupted } from "../../interrupt.js"
import { printJson } from "../../output/json.js"
import { pullView } from "../../output/pull-view.js"
import { formatBytes } from "../../output/table.js"

interface PullOptions {
  readonly revision?: string
  readonly file?: readonly string[]
  readonly json?: boolean
}

/** `lamina model pull`: leaves the model in the cache, where every command finds it by its name. */
export async function pullCommand(model: string, options: PullOptions): Promise<void> {
  const name = nameOf(model, options)
  const hub = await hubConfig()
  const globs = options.file ?? []
  const { commit, folder, files } = await untilInterrupted((signal) =>
    pull({ models: modelsFolder(), name, globs, hub, view: pullView(process.stderr), signal }),
  )
  const bytes = files.reduce((sum, { size }) => sum + size, 0)
  if (options.json) {
    const listed = files.map(({ path, size, hash }) => ({ path, bytes: size, [hash.kind]: hash.hex }))
    return printJson({ model: showModelName(name), commit, folder, bytes, files: listed })
  }
  process.stdout.write(`${showModelName(name)}  ${formatBytes(bytes)}  in ${folder}\n`)
}

/** `--revision` is the longer way to write `@revision`. USAGE where both or `:FILE` and `--file` are given. */
function nameOf(model: string, { revision, file }: PullOptions): ModelName {
  const name = requireModelName(model)
  if (name.file !== undefined && file !== undefined)
    throw new LaminaError("USAGE", `${model}: expected the file once, got :${name.file} and --file ${file.join(" ")}`)
  if (revision === undefined) return name
  if (model.includes("@"))
    throw new LaminaError("USAGE", `${model}: expected one revision, got @${name.revision} and --revision ${revision}`)
  return requireModelName(showModelName({ ...name, revision }))
}
