import { GGUF_ALIGNMENT, GGUF_MAGIC, GGUF_VERSION } from "./gguf-header.js"

/** A metadata value to write, its type said. */
export type GgufEntry =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly string: string }
  | { readonly strings: readonly string[] }
  | { readonly f32s: readonly number[] }
  | { readonly i32s: readonly number[] }

/** A tensor to write: ggml's type number, its shape (row-major, out features first) and its bytes. */
export interface GgufData {
  readonly type: number
  readonly shape: readonly number[]
  readonly data: ArrayBufferView
}

/**
 * A GGUF file (version 3, alignment 32) in pieces to be written one after another; its bytes depend on the arguments
 * and their order alone. Arrays are taken as they lie in memory, little-endian.
 */
export function encodeGguf(
  metadata: Readonly<Record<string, GgufEntry>>,
  tensors: ReadonlyMap<string, GgufData>,
): Uint8Array[] {
  const header = [u32(GGUF_MAGIC), u32(GGUF_VERSION), u64(tensors.size), u64(Object.keys(metadata).length)]
  for (const [key, entry] of Object.entries(metadata)) header.push(text(key), ...value(entry))
  const data: Uint8Array[] = []
  let offset = 0
  for (const [name, { type, shape, data: view }] of tensors) {
    header.push(text(name), u32(shape.length), ...[...shape].reverse().map(u64), u32(type), u64(offset))
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    data.push(bytes, padding(bytes.length))
    offset += bytes.length + padding(bytes.length).length
  }
  const head = Buffer.concat(header)
  return [head, padding(head.length), ...data]
}

function value(entry: GgufEntry): Uint8Array[] {
  if ("u32" in entry) return [u32(4), u32(entry.u32)]
  if ("f32" in entry) return [u32(6), f32(entry.f32)]
  if ("string" in entry) return [u32(8), text(entry.string)]
  if ("strings" in entry) return [...list(8, entry.strings.length), ...entry.strings.map(text)]
  if ("f32s" in entry) return [...list(6, entry.f32s.length), ...entry.f32s.map(f32)]
  return [...list(5, entry.i32s.length), ...entry.i32s.map(u32)]
}

function list(type: number, length: number): Uint8Array[] {
  return [u32(9), u32(type), u64(length)]
}

function text(string: string): Uint8Array {
  const bytes = Buffer.from(string, "utf8")
  return Buffer.concat([u64(bytes.length), bytes])
}

function u32(number: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(number >>> 0)
  return bytes
}

function u64(number: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(number))
  return bytes
}

function f32(number: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(number)
  return bytes
}

function padding(length: number): Uint8Array {
  return new Uint8Array((GGUF_ALIGNMENT - (length % GGUF_ALIGNMENT)) % GGUF_ALIGNMENT)
}
