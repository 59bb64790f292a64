import { compareNames } from "@lamina/protocol"

import { writeAtomically } from "../files/write-atomically.js"
import type { TensorType } from "./safetensors-header.js"

/** A tensor to write: its type, shape and memory, row-major. */
export interface TensorData {
  readonly dtype: TensorType
  readonly shape: readonly number[]
  readonly data: ArrayBufferView
}

/**
 * Writes a safetensors file atomically. The bytes depend on the tensors and the metadata alone: names in code-unit
 * order, the header padded with spaces so that data begins at a multiple of 8. Arrays are written as they lie in
 * memory, little-endian on every platform Node supports but s390x. FILE_UNWRITABLE.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const sorted = [...tensors].sort(([left], [right]) => compareNames(left, right))
  const entries: [string, unknown][] = [["__metadata__", metadata]]
  let offset = 0
  for (const [name, { dtype, shape, data }] of sorted) {
    entries.push([name, { dtype, shape, data_offsets: [offset, offset + data.byteLength] }])
    offset += data.byteLength
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)))
  const header = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true)
  header.set(text, 8)
  const bytes = sorted.map(([, { data }]) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  await writeAtomically(path, [header, ...bytes])
}
