import { listModels } from "../../hub/model-cache.js"
import type { CachedModel } from "../../hub/model-cache.js"
import { modelsFolder } from "../../hub/models-folder.js"
import { printJson } from "../../output/json.js"
import { formatBytes, renderTable } from "../../output/table.js"

/** `lamina model list`: what is in the cache, and how large. */
export async function listCommand(options: { json?: boolean }): Promise<void> {
  const folder = modelsFolder()
  const models = await listModels(folder)
  if (options.json) return printJson({ folder, models: models.map(plain) })
  if (models.length === 0) {
    process.stdout.write(`no models in ${folder}\n`)
    process.stderr.write("lamina: hint: lamina model pull HuggingFaceTB/SmolLM2-135M-Instruct\n")
    return
  }
  const rows = models.map((model) => [
    model.repo,
    shownSize(model),
    formats(model).join(", "),
    revisions(model),
    used(model),
  ])
  process.stdout.write(`${renderTable(["model", "size", "files", "revision", "last used"], rows)}\n`)
  const bytes = models.reduce((sum, model) => sum + model.bytes, 0)
  process.stdout.write(`${formatBytes(bytes)} in ${folder}\n`)
}

function plain(model: CachedModel): Record<string, unknown> {
  const { repo, folder, snapshots, bytes, unfinished, usedAt } = model
  return { model: repo, folder, bytes, unfinished, formats: formats(model), usedAt: usedAt?.toISOString(), snapshots }
}

function shownSize({ bytes, unfinished }: CachedModel): string {
  return `${formatBytes(bytes)}${unfinished > 0 ? " (unfinished)" : ""}`
}

/** "safetensors", and each GGUF file by the name that a command takes. */
function formats({ snapshots }: CachedModel): string[] {
  const files = snapshots.flatMap((snapshot) => snapshot.files)
  const ggufs = files.filter((file) => /\.gguf$/i.test(file))
  const other = files.some((file) => file.endsWith(".safetensors")) ? ["safetensors"] : []
  return [...new Set([...other, ...ggufs])]
}

function revisions({ snapshots }: CachedModel): string {
  return snapshots.map(({ commit, revisions: names }) => `${names.join(", ") || "-"} ${commit.slice(0, 7)}`).join("; ")
}

function used({ usedAt }: CachedModel): string {
  return usedAt === undefined ? "-" : usedAt.toISOString().slice(0, 16).replace("T", " ")
}
