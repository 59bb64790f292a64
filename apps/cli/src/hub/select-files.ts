import { LaminaError } from "@lamina/protocol/errors"

import type { HubFile } from "./list-repo.js"
import { matchesGlob, matchFile } from "./match-file.js"
import { showModelName } from "./model-name.js"
import type { ModelName } from "./model-name.js"

/** What goes with weights, where a repository has it. */
const COMPANIONS = new Set([
  ...["config.json", "generation_config.json", "adapter_config.json", "chat_template.jinja", "chat_template.json"],
  ...["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"],
  ...["vocab.json", "merges.txt"],
])
const SHARDS = /^model-\d{5}-of-\d{5}\.safetensors$/
const INDEX = "model.safetensors.index.json"
const SINGLE = ["model.safetensors", "adapter_model.safetensors"]
const PICKLE = /\.(bin|pt|pth|ckpt|pkl)$/i

/**
 * The files of a repository that a pull fetches: those that the globs mean; the GGUF file that the name means; else
 * safetensors with what goes with them; else the one GGUF file there is. NOT_FOUND, USAGE, MODEL_UNSUPPORTED, each with
 * what there is.
 */
export function selectFiles(files: readonly HubFile[], name: ModelName, globs: readonly string[]): HubFile[] {
  if (globs.length > 0) return globs.flatMap((glob) => byGlob(files, name, glob)).filter(firstOfItsPath)
  const paths = files.map(({ path }) => path)
  if (name.file !== undefined) return byPath(files, oneFile(paths, name, name.file))
  const single = SINGLE.find((path) => paths.includes(path))
  const weights =
    single !== undefined ? [single] : paths.includes(INDEX) ? [...paths.filter((path) => SHARDS.test(path)), INDEX] : []
  if (weights.length > 0) return byPath(files, [...weights, ...paths.filter((path) => COMPANIONS.has(path))])
  return byPath(files, onlyGguf(paths, name))
}

function byGlob(files: readonly HubFile[], name: ModelName, glob: string): HubFile[] {
  const found = files.filter(({ path }) => matchesGlob(path, glob))
  if (found.length > 0) return found
  throw new LaminaError("NOT_FOUND", `${name.repo}: no file is called ${glob}`, {
    hint: listed(files.map(({ path }) => path)),
  })
}

function oneFile(paths: readonly string[], name: ModelName, wanted: string): string[] {
  const found = matchFile(paths, wanted)
  if (found.length === 1) return found
  if (found.length > 1)
    throw new LaminaError("USAGE", `${showModelName(name)}: expected one file, got ${found.slice(0, 8).join(", ")}`, {
      hint: "name the file in full, or name several with --file",
    })
  throw new LaminaError("NOT_FOUND", `${showModelName(name)}: no GGUF file says so in its name`, {
    hint: listed(ggufs(paths)),
  })
}

function onlyGguf(paths: readonly string[], name: ModelName): string[] {
  const found = ggufs(paths)
  if (found.length === 1) return found
  if (found.length > 1)
    throw new LaminaError("USAGE", `${name.repo}: expected one GGUF file, got ${found.length}`, {
      hint: `name one, as in ${name.repo}:Q4_K_M; ${listed(found)}`,
    })
  const pickled = paths.some((path) => PICKLE.test(path))
  throw new LaminaError(
    "MODEL_UNSUPPORTED",
    `${name.repo}: expected safetensors or GGUF, got ${pickled ? "pickled weights, which can run code" : "neither"}`,
    { hint: pickled ? "look for a copy in safetensors or GGUF" : listed(paths) },
  )
}

function ggufs(paths: readonly string[]): string[] {
  return paths.filter((path) => /\.gguf$/i.test(path))
}

function byPath(files: readonly HubFile[], paths: readonly string[]): HubFile[] {
  return files.filter(({ path }) => paths.includes(path))
}

function firstOfItsPath({ path }: HubFile, index: number, all: readonly HubFile[]): boolean {
  return all.findIndex((file) => file.path === path) === index
}

function listed(paths: readonly string[]): string {
  if (paths.length === 0) return "it has none"
  return `it has ${paths.slice(0, 12).join(", ")}${paths.length > 12 ? ` and ${paths.length - 12} more` : ""}`
}
