import { compareNames } from "./adapter.js"
import type { Adapter, AdapterModule } from "./adapter.js"
import { LaminaError } from "./errors.js"
import { LIMITS } from "./limits.js"
import { messages } from "./messages.js"
import type { ManifestModule, Metric, ModuleScore } from "./messages.js"

/**
 * The container of adapters and updates: u32le manifest length ‖ UpdateManifest ‖ zeros to a multiple of 64 ‖ tensors.
 * Tensors are raw little-endian f32, a then b of each module in name order, each at a multiple of 64 with zeros
 * between. The same content gives the same bytes.
 */
export interface UpdateContent {
  /** Tokens or examples behind the update; 0 in a plain adapter file. */
  readonly weight: number
  readonly adapter: Adapter
  readonly metrics: readonly Metric[]
  /** Importance of every module's rank-one triplets, where the plan asked for it; empty otherwise. */
  readonly scores: readonly ModuleScore[]
}

const ALIGN = 64
const ZEROS = new Uint8Array(ALIGN)
const aligned = (offset: number): number => Math.ceil(offset / ALIGN) * ALIGN

/** The container in parts that follow one another: manifest, tensors as they lie in memory, and the zeros between. */
export function encodeUpdateInParts({ weight, adapter, metrics, scores }: UpdateContent): Uint8Array[] {
  let end = 0
  const place = (tensor: Float32Array): { dtype: "f32"; offset: number; bytes: number } => {
    const offset = aligned(end)
    end = offset + tensor.byteLength
    return { dtype: "f32", offset, bytes: tensor.byteLength }
  }
  const modules = adapter.modules.map(({ a, b, ...module }) => ({ ...module, a: place(a), b: place(b) }))
  const manifest = messages.UpdateManifest.encode({ weight, modules, metrics, scores })
  const head = new Uint8Array(aligned(4 + manifest.byteLength))
  new DataView(head.buffer).setUint32(0, manifest.byteLength, true)
  head.set(manifest, 4)
  const parts: Uint8Array[] = [head]
  end = 0
  for (const { a, b } of adapter.modules)
    for (const tensor of [a, b]) {
      const gap = aligned(end) - end
      if (gap > 0) parts.push(ZEROS.subarray(0, gap))
      parts.push(asBytes(tensor))
      end += gap + tensor.byteLength
    }
  return parts
}

export function encodeUpdate(content: UpdateContent): Uint8Array {
  const parts = encodeUpdateInParts(content)
  const out = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}

/**
 * Bytes from a stranger -> content, or UPDATE_MALFORMED, UPDATE_MODULE, UPDATE_SHAPE. Values are not looked at. Tensors
 * are views of `bytes` where that is aligned for f32, copies otherwise: `bytes` is not to be changed afterwards.
 */
export function decodeUpdate(bytes: Uint8Array): UpdateContent {
  if (bytes.byteLength < 4) throw malformed(`expected at least 4 bytes, got ${bytes.byteLength}`)
  const manifestBytes = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true)
  if (manifestBytes > LIMITS.manifestBytesMax || 4 + manifestBytes > bytes.byteLength)
    throw malformed(`manifest of ${manifestBytes} bytes in ${bytes.byteLength} bytes`)
  const { weight, modules, metrics, scores } = parseManifest(bytes.subarray(4, 4 + manifestBytes))
  const start = aligned(4 + manifestBytes)
  requireZeros(bytes, 4 + manifestBytes, start)
  checkLayout(bytes, modules, start)
  return { weight, metrics, scores, adapter: { modules: modules.map((module) => readModule(bytes, module, start)) } }
}

/** The bytes whose hash names an adapter. */
export function encodeAdapter(adapter: Adapter): Uint8Array {
  return encodeUpdate({ weight: 0, adapter, metrics: [], scores: [] })
}

export function decodeAdapter(bytes: Uint8Array): Adapter {
  return decodeUpdate(bytes).adapter
}

function parseManifest(bytes: Uint8Array): ReturnType<typeof messages.UpdateManifest.decode> {
  try {
    return messages.UpdateManifest.decode(bytes, { bytesMax: LIMITS.manifestBytesMax })
  } catch (cause) {
    throw new LaminaError("UPDATE_MALFORMED", `update: ${cause instanceof Error ? cause.message : "manifest"}`, {
      cause,
    })
  }
}

/** Names rising, tensors in order and aligned, sizes as the shapes say, nothing after the last. */
function checkLayout(bytes: Uint8Array, modules: readonly ManifestModule[], start: number): void {
  let end = start
  let previous = ""
  for (const module of modules) {
    const { name, rank, inFeatures, outFeatures, a, b } = module
    if (compareNames(name, previous) <= 0)
      throw new LaminaError("UPDATE_MODULE", `module ${name}: expected once and after ${previous}`)
    if (rank > Math.max(LIMITS.rankMax, Math.min(inFeatures, outFeatures)))
      throw new LaminaError("UPDATE_RANK", `module ${name}: rank ${rank} is over the limit`)
    previous = name
    for (const [side, tensor, count] of [
      ["a", a, rank * inFeatures],
      ["b", b, outFeatures * rank],
    ] as const) {
      if (tensor.bytes !== count * 4)
        throw new LaminaError(
          "UPDATE_SHAPE",
          `module ${name}.${side}: expected ${count * 4} bytes, got ${tensor.bytes}`,
        )
      if (start + tensor.offset !== aligned(end))
        throw malformed(`module ${name}.${side}: unexpected offset ${tensor.offset}`)
      requireZeros(bytes, end, start + tensor.offset)
      end = start + tensor.offset + tensor.bytes
      if (end > bytes.byteLength) throw malformed(`module ${name}.${side} ends at ${end} of ${bytes.byteLength} bytes`)
    }
  }
  if (end !== bytes.byteLength) throw malformed(`expected ${end} bytes, got ${bytes.byteLength}`)
}

function readModule(bytes: Uint8Array, module: ManifestModule, start: number): AdapterModule {
  const { a, b, ...rest } = module
  const read = ({ offset, bytes: length }: { offset: number; bytes: number }): Float32Array => {
    const at = bytes.byteOffset + start + offset
    return at % 4 === 0
      ? new Float32Array(bytes.buffer, at, length / 4)
      : new Float32Array(copyOf(bytes.subarray(start + offset, start + offset + length)))
  }
  return { ...rest, a: read(a), b: read(b) }
}

/** A copy of its own: slice() of a Buffer would be a view. */
function copyOf(bytes: Uint8Array): ArrayBuffer {
  const copy = new Uint8Array(bytes.byteLength)
  copy.set(bytes)
  return copy.buffer
}

function asBytes(tensor: Float32Array): Uint8Array {
  return new Uint8Array(tensor.buffer, tensor.byteOffset, tensor.byteLength)
}

function requireZeros(bytes: Uint8Array, from: number, to: number): void {
  if (to > bytes.byteLength) throw malformed(`expected at least ${to} bytes, got ${bytes.byteLength}`)
  for (let i = from; i < to; i++) if (bytes[i] !== 0) throw malformed(`byte ${i} between tensors is not 0`)
}

function malformed(what: string): LaminaError {
  return new LaminaError("UPDATE_MALFORMED", `update: ${what}`)
}
