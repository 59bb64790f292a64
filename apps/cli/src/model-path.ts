import { stat } from "node:fs/promises"
import { isAbsolute, join, resolve } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { matchFile } from "./hub/match-file.js"
import { findSnapshot, repoFolder, touchUsed } from "./hub/model-cache.js"
import type { Snapshot } from "./hub/model-cache.js"
import { parseModelName, showModelName } from "./hub/model-name.js"
import type { ModelName } from "./hub/model-name.js"
import { modelsFolder } from "./hub/models-folder.js"

/**
 * Where the MODEL of a command line lies: a path that is there, or a model that was pulled, as `org/repo`,
 * `org/repo:Q4_K_M` or `org/repo@revision`. Its folder, or the GGUF file that the name means. NOT_FOUND with what to
 * pull, FILE_UNREADABLE.
 */
export async function modelPath(model: string, models = modelsFolder()): Promise<string> {
  return (await isThere(model)) ? model : pulledPath(model, models)
}

/** The MODEL as something that stays the same whatever folder a command is run in: a path absolute, a name as it is. */
export async function modelIdentity(model: string): Promise<string> {
  return (await isThere(model)) ? resolve(model) : model
}

/** Where the PEFT adapter of an `--adapter` lies: a folder, or an adapter that was pulled. Codes of `modelPath`. */
export async function adapterPath(adapter: string, models = modelsFolder()): Promise<string> {
  return (await isThere(adapter)) ? adapter : pulledPath(adapter, models, "a PEFT adapter's folder")
}

/** `modelPath` of something that is no path. NOT_FOUND, FILE_UNREADABLE, USAGE. */
async function pulledPath(model: string, models: string, expected = "a model's folder or GGUF file"): Promise<string> {
  const name = parseModelName(model)
  if (name === undefined)
    throw new LaminaError("FILE_UNREADABLE", `${model}: expected ${expected}, found none`, {
      hint: "a path, or org/repo of what was pulled: lamina model list",
    })
  const snapshot = await findSnapshot(models, name)
  if (snapshot === undefined)
    throw new LaminaError("NOT_FOUND", `${model}: neither a path nor a model that was pulled to ${models}`, {
      hint: `lamina model pull ${showModelName(name)}`,
    })
  const path = name.file === undefined ? snapshot.folder : fileOf(snapshot, name, name.file)
  await touchUsed(repoFolder(models, name.repo))
  return path
}

function fileOf(snapshot: Snapshot, name: ModelName, wanted: string): string {
  const found = matchFile(snapshot.files, wanted)
  const [file] = found
  if (file !== undefined && found.length === 1) return join(snapshot.folder, file)
  if (found.length > 1)
    throw new LaminaError("USAGE", `${showModelName(name)}: expected one file, got ${found.join(", ")}`, {
      hint: `name it in full: ${showModelName({ ...name, file })}`,
    })
  throw new LaminaError("NOT_FOUND", `${showModelName(name)}: pulled were ${snapshot.files.join(", ")}`, {
    hint: `lamina model pull ${showModelName(name)}`,
  })
}

/**
 * The model that a file in `folder` names: a path from there, made absolute, or the name of a model that was pulled.
 * What is neither is the path, which fails where it is read. FILE_UNREADABLE.
 */
export async function modelFrom(folder: string, model: string): Promise<string> {
  const path = resolve(folder, model)
  return parseModelName(model) === undefined || (await isThere(path)) ? path : model
}

/** Where the model of `modelFrom` lies. Codes of `modelPath`. */
export async function recipeBase(base: string, folder: string, models = modelsFolder()): Promise<string> {
  const found = await modelFrom(folder, base)
  return isAbsolute(found) ? found : pulledPath(found, models)
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (cause) {
    if (["ENOENT", "ENOTDIR", "ENAMETOOLONG"].includes((cause as NodeJS.ErrnoException).code ?? "")) return false
    throw new LaminaError("FILE_UNREADABLE", `${path}: ${(cause as Error).message}`, { cause })
  }
}
