import { compareNames } from "@lamina/protocol"

import { writeAtomically } from "../files/write-atomically.js"
import { tensorBytes } from "./safetensors-header.js"
import type { TensorType } from "./safetensors-header.js"

/** A tensor to write: its type, shape and memory, row-major; or what brings it to memory when its turn comes. */
export interface TensorData {
  readonly dtype: TensorType
  readonly shape: readonly number[]
  readonly data: ArrayBufferView | (() => Promise<ArrayBufferView>)
}

/**
 * Writes a safetensors file atomically. The bytes depend on the tensors and the metadata alone: names in code-unit
 * order, the header padded with spaces so that data begins at a multiple of 8. Arrays are written as they lie in
 * memory, little-endian on every platform Node supports but s390x. FILE_UNWRITABLE, and what a tensor's `data` throws.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const sorted = [...tensors].sort(([left], [right]) => compareNames(left, right))
  const entries: [string, unknown][] = [["__metadata__", metadata]]
  let offset = 0
  for (const [name, { dtype, shape }] of sorted) {
    const end = offset + tensorBytes(dtype, shape)
    entries.push([name, { dtype, shape, data_offsets: [offset, end] }])
    offset = end
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)))
  const header = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true)
  header.set(text, 8)
  await writeAtomically(path, parts(header, sorted))
}

async function* parts(header: Uint8Array, sorted: readonly [string, TensorData][]): AsyncGenerator<Uint8Array> {
  yield header
  for (const [name, { dtype, shape, data }] of sorted) {
    const view = typeof data === "function" ? await data() : data
    const bytes = tensorBytes(dtype, shape)
    if (view.byteLength !== bytes) throw new Error(`${name}: expected ${bytes} bytes, got ${view.byteLength}`)
    yield new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  }
}
