import { join } from "node:path"

import type { FrozenFactors } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"

import type { Base } from "../api.js"
import { makeEmptyFolder } from "../files/make-folder.js"
import { writeAtomically } from "../files/write-atomically.js"
import { foldAdapters } from "../model/lora.js"
import { encodeFloats, mergedLinear } from "../model/merged-linear.js"
import type { MergedType } from "../model/merged-linear.js"
import { writeTokenizer } from "../tokenizer/write-tokenizer.js"
import { openModelFiles } from "../weights/model-files.js"
import { linearShapes } from "../weights/module-shapes.js"
import { tensorBytes } from "../weights/safetensors-header.js"
import { writeSafetensors } from "../weights/safetensors-write.js"
import type { TensorData } from "../weights/safetensors-write.js"
import { liesTransposed, transposedCodes } from "../weights/transposed-linear.js"

/** What transformers calls them, and what a safetensors file does. */
const TYPES = {
  f32: { torch: "float32", dtype: "F32" },
  f16: { torch: "float16", dtype: "F16" },
  bf16: { torch: "bfloat16", dtype: "BF16" },
} as const

/** A file is at most so long: what the Hub and old file systems take. */
const SHARD_BYTES = 4 * 2 ** 30 - 2 ** 20

/**
 * Writes base plus adapters as one float model that transformers loads, to a new or empty folder: every linear
 * W + sum s B A, dequantized, added in f32 and rounded once to `type`; config.json, tokenizer and chat template beside
 * it; several files with an index from 4 GiB on. A tensor at a time is in memory. The model is no base to federate on:
 * the next update would be rounded away. ADAPTER_MISMATCH, WEIGHTS_MALFORMED where a value does not fit 16 bits,
 * FILE_UNWRITABLE, FILE_UNREADABLE.
 */
export async function writeMergedModel(
  base: Base,
  adapters: readonly Adapter[],
  out: { readonly folder: string; readonly type: MergedType; readonly shardBytes?: number },
): Promise<void> {
  const { folder, type, shardBytes = SHARD_BYTES } = out
  const terms = foldAdapters(base, adapters)
  const shards = intoShards(tensorsOf(base, terms, type), shardBytes)
  const files = await openModelFiles(base.folder)
  try {
    const config: Record<string, unknown> = { ...(await files.config()), dtype: TYPES[type].torch }
    delete config.quantization_config
    delete config.torch_dtype
    await makeEmptyFolder(folder)
    await writeTokenizer(files, folder)
    await writeShards(folder, shards)
    await writeAtomically(join(folder, "config.json"), [json(config)])
  } finally {
    await files.close()
  }
}

async function writeShards(folder: string, shards: readonly ReadonlyMap<string, TensorData>[]): Promise<void> {
  const [only] = shards
  if (shards.length === 1 && only !== undefined) {
    await writeSafetensors(join(folder, "model.safetensors"), only, { format: "pt" })
    return
  }
  const padded = (number: number): string => String(number).padStart(5, "0")
  const weightMap: Record<string, string> = {}
  let bytes = 0
  for (const [i, shard] of shards.entries()) {
    const file = `model-${padded(i + 1)}-of-${padded(shards.length)}.safetensors`
    await writeSafetensors(join(folder, file), shard, { format: "pt" })
    for (const [name, tensor] of shard) {
      weightMap[name] = file
      bytes += tensorBytes(tensor.dtype, tensor.shape)
    }
  }
  const index = { metadata: { total_size: bytes }, weight_map: weightMap }
  await writeAtomically(join(folder, "model.safetensors.index.json"), [json(index)])
}

function tensorsOf(
  base: Base,
  terms: Readonly<Record<string, FrozenFactors>>,
  type: MergedType,
): [string, TensorData][] {
  const { dtype } = TYPES[type]
  const linears = linearShapes(base.config).flatMap((linear): [string, TensorData][] => {
    const weight = base.linears[linear.name]
    if (weight === undefined) return []
    const turned = liesTransposed(linear, type)
    const make = (): ArrayBufferView => {
      const merged = mergedLinear(linear.name, { weight, term: terms[linear.name], type })
      return turned ? transposedCodes(merged) : merged.codes
    }
    const shape = turned ? [weight.cols, weight.rows] : [weight.rows, weight.cols]
    return [[`${linear.name}.weight`, { dtype, shape, data: () => Promise.resolve().then(make) }]]
  })
  const vectors = (values: Readonly<Record<string, Float32Array>>, part: "weight" | "bias"): [string, TensorData][] =>
    Object.entries(values).map(([name, vector]) => [
      `${name}.${part}`,
      { dtype, shape: [vector.length], data: encodeFloats(`${name}.${part}`, vector, type) },
    ])
  return [...linears, ...vectors(base.norms, "weight"), ...vectors(base.biases, "bias")]
}

function intoShards(tensors: readonly [string, TensorData][], most: number): Map<string, TensorData>[] {
  const shards: Map<string, TensorData>[] = []
  let left = 0
  for (const [name, tensor] of tensors) {
    const bytes = tensorBytes(tensor.dtype, tensor.shape)
    if (shards.length === 0 || bytes > left) {
      shards.push(new Map())
      left = most
    }
    shards.at(-1)?.set(name, tensor)
    left -= bytes
  }
  return shards
}

function json(value: unknown): Uint8Array {
  return Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`)
}
