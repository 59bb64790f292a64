import { join } from "node:path"
import { stat } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"
import type { ErrorCode } from "@lamina/protocol/errors"

import { isJsonObject, parseJsonObject, showJson } from "../files/json.js"
import { readBounded } from "../files/read-bounded.js"
import { openSafetensors } from "./safetensors-file.js"
import type { TensorStore } from "./safetensors-file.js"
import { HEADER_BYTES_MAX } from "./safetensors-header.js"

const SINGLE = "model.safetensors"
const INDEX = "model.safetensors.index.json"
/** Ten times the shards of the largest checkpoint we know of; each takes a file descriptor. */
const SHARDS_MAX = 2_000

/**
 * Names of a checkpoint's weight files: model.safetensors, or the shards its index names, sorted. WEIGHTS_MISSING,
 * WEIGHTS_MALFORMED.
 */
export async function weightFiles(folder: string): Promise<string[]> {
  if (await isFile(join(folder, SINGLE))) return [SINGLE]
  return [...new Set((await readIndex(folder)).values())].sort()
}

/** Whether a folder has safetensors weights under the names that `weightFiles` looks for. FILE_UNREADABLE. */
export async function hasWeights(folder: string): Promise<boolean> {
  return (await isFile(join(folder, SINGLE))) || (await isFile(join(folder, INDEX)))
}

/**
 * All tensors of a checkpoint folder as one store. WEIGHTS_MISSING, WEIGHTS_MALFORMED, WEIGHTS_DTYPE, FILE_UNREADABLE.
 */
export async function openCheckpoint(folder: string): Promise<TensorStore> {
  if (await isFile(join(folder, SINGLE))) return openSafetensors(join(folder, SINGLE))
  const index = await readIndex(folder)
  const shards = new Map<string, TensorStore>()
  const close = async (): Promise<void> => {
    for (const shard of shards.values()) await shard.close()
  }
  try {
    for (const file of [...new Set(index.values())].sort()) shards.set(file, await openSafetensors(join(folder, file)))
    checkShards(folder, index, shards)
  } catch (error) {
    await close()
    throw error
  }
  const tensors = new Map([...shards.values()].flatMap((shard) => [...shard.tensors]))
  const read: TensorStore["read"] = (name) => {
    const shard = shards.get(index.get(name) ?? "")
    if (shard === undefined) throw new LaminaError("WEIGHTS_MISSING", `${folder}: no tensor ${name}`)
    return shard.read(name)
  }
  return { tensors, read, close }
}

/** Index and shards must name the same tensors in the same files. */
function checkShards(
  folder: string,
  index: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, TensorStore>,
): void {
  for (const [name, file] of index)
    if (!shards.get(file)?.tensors.has(name))
      throw new LaminaError(
        "WEIGHTS_MISSING",
        `${join(folder, INDEX)}: expected ${name} in ${file}, which does not hold it`,
      )
  for (const [file, { tensors }] of shards)
    for (const name of tensors.keys())
      if (index.get(name) !== file)
        throw new LaminaError(
          "WEIGHTS_MALFORMED",
          `${join(folder, file)}: holds ${name}, which the index puts in ${index.get(name) ?? "no file"}`,
        )
}

/** The failure of a folder in which no model is found. */
export function noModel(folder: string, code: ErrorCode): LaminaError {
  const looked = `config.json with ${SINGLE} (or shards with ${INDEX}), or one .gguf file`
  return new LaminaError(code, `${folder}: expected ${looked}, found none`, {
    hint: "lamina model inspect checks a model's folder, lamina model pull fetches one",
  })
}

/** Tensor name -> file name. */
async function readIndex(folder: string): Promise<Map<string, string>> {
  const path = join(folder, INDEX)
  if (!(await isFile(path))) throw noModel(folder, "WEIGHTS_MISSING")
  const text = await readBounded(path, {
    bytesMax: HEADER_BYTES_MAX,
    missing: "WEIGHTS_MISSING",
    malformed: "WEIGHTS_MALFORMED",
  })
  const malformed = (message: string): LaminaError => new LaminaError("WEIGHTS_MALFORMED", `${path}: ${message}`)
  const map = parseJsonObject(text, path, "WEIGHTS_MALFORMED").weight_map
  if (!isJsonObject(map))
    throw malformed(`weight_map: expected an object of tensor names to file names, got ${showJson(map)}`)
  const index = new Map<string, string>()
  for (const [name, file] of Object.entries(map)) {
    // a plain name: an index must not reach out of its folder
    if (typeof file !== "string" || !/^[\w][\w.-]{0,254}$/.test(file))
      throw malformed(
        `weight_map.${name.slice(0, 80)}: expected a plain file name (letters, digits, - _ .), got ${showJson(file)}`,
      )
    index.set(name, file)
  }
  const shards = new Set(index.values()).size
  if (shards < 1 || shards > SHARDS_MAX) throw malformed(`weight_map: expected 1 to ${SHARDS_MAX} files, got ${shards}`)
  return index
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile()
  } catch (cause) {
    if (["ENOENT", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? "")) return false
    throw new LaminaError("FILE_UNREADABLE", `${path}: ${(cause as Error).message}`, { cause })
  }
}
