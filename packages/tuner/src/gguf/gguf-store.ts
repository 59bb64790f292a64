import { LaminaError } from "@lamina/protocol/errors"

import type { TensorStore } from "../weights/safetensors-file.js"
import type { TensorInfo } from "../weights/safetensors-header.js"
import { transformersName } from "./architectures.js"
import type { GgufArchitecture } from "./architectures.js"
import type { GgufFile } from "./gguf-file.js"
import { Metadata } from "./metadata.js"
import { halvesApart } from "./row-order.js"
import type { RowOrder } from "./row-order.js"

/** Divisors of RoPE scaling; config.json says what they are made of. */
const CONSUMED: ReadonlySet<string> = new Set(["rope_freqs.weight"])

/**
 * The tensors of a GGUF file under transformers' names and in transformers' row order. MODEL_CONFIG, MODEL_UNSUPPORTED,
 * WEIGHTS_MALFORMED. Closing the store closes the file.
 */
export function ggufStore(file: GgufFile, architecture: GgufArchitecture): TensorStore {
  const stored = new Map<string, string>()
  const tensors = new Map<string, TensorInfo>()
  for (const [name, { type, shape, start, bytes }] of file.tensors) {
    if (CONSUMED.has(name)) continue
    const ours = transformersName(architecture, name)
    if (tensors.has(ours))
      throw new LaminaError("WEIGHTS_MALFORMED", `${file.path}: ${name}: expected ${ours} once, found it twice`)
    stored.set(ours, name)
    tensors.set(ours, { file: file.path, dtype: type.name, shape, start, bytes })
  }
  const nameOf = (name: string): string => {
    const found = stored.get(name)
    if (found === undefined) throw new LaminaError("WEIGHTS_MISSING", `${file.path}: no tensor ${name}`)
    return found
  }
  const orderOf = (name: string): RowOrder | undefined => {
    const module = architecture.interleaved.find((part) => new RegExp(`\\.${part}\\.(weight|bias)$`).test(name))
    const rows = tensors.get(name)?.shape[0]
    return module === undefined || rows === undefined ? undefined : rowOrder(file, { module, rows })
  }
  return {
    tensors,
    read: async (name) => file.readPlain(nameOf(name), orderOf(name)),
    readFrozen: async (name) => file.readBlocks(nameOf(name), orderOf(name)),
    close: () => file.close(),
  }
}

/** Where each stored row of a rotated module belongs. MODEL_CONFIG where heads do not divide its rows into pairs. */
function rowOrder(file: GgufFile, { module, rows }: { module: string; rows: number }): RowOrder {
  const metadata = new Metadata(file)
  const prefix = metadata.text("general.architecture") ?? ""
  const query = `${prefix}.attention.head_count`
  const key = `${query}_kv`
  const used = module.endsWith("k_proj") && metadata.has(key) ? key : query
  const heads = metadata.whole(used) ?? 0
  if (heads < 1 || rows % (2 * heads) !== 0)
    throw metadata.invalid(used, `a number of heads that divides the ${rows} rows of ${module} evenly`)
  return halvesApart(rows / heads)
}
