import { LaminaError } from "@lamina/protocol/errors"

import { isJsonObject, parseJsonObject, showJson } from "../files/json.js"
import type { JsonObject } from "../files/json.js"

/** Bytes of one element; what the format knows and every element is whole bytes (F4 and F6 are not). */
const ELEMENT_BYTES = {
  ...{ F64: 8, F32: 4, F16: 2, BF16: 2, F8_E5M2: 1, F8_E4M3: 1 },
  ...{ I64: 8, I32: 4, I16: 2, I8: 1, U64: 8, U32: 4, U16: 2, U8: 1, BOOL: 1 },
} as const
export type TensorType = keyof typeof ELEMENT_BYTES

/** Bytes of one element. */
export function elementBytes(type: TensorType): number {
  return ELEMENT_BYTES[type]
}

/** What the format's own library refuses beyond. */
export const HEADER_BYTES_MAX = 100_000_000
/** Bytes of the length that comes before the header. */
export const PREFIX_BYTES = 8
/** Twice what any checkpoint we know of uses. */
const NAME_LENGTH_MAX = 512
const DIMENSIONS_MAX = 8

/** One tensor of a file, row-major and little-endian, out features first. */
export interface TensorInfo<Type extends string = string> {
  readonly file: string
  /** As the file says: a TensorType, or ggml's name of a type. */
  readonly dtype: Type
  readonly shape: readonly number[]
  /** Its first byte, counted from the start of the file. */
  readonly start: number
  readonly bytes: number
}

/** Bytes a tensor of this type and shape takes; Infinity or inexact beyond 2^53. */
export function tensorBytes(dtype: TensorType, shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, ELEMENT_BYTES[dtype])
}

/**
 * Length of the header from the file's first 8 bytes. WEIGHTS_MALFORMED unless it fits the file and the format's own
 * bound.
 */
export function parseHeaderLength(prefix: Uint8Array, file: { path: string; size: number }): number {
  if (prefix.length < PREFIX_BYTES)
    throw malformed(file.path, `expected at least ${PREFIX_BYTES} bytes, got ${prefix.length}`)
  const length = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES).getBigUint64(0, true)
  const most = Math.min(HEADER_BYTES_MAX, file.size - PREFIX_BYTES)
  if (length < 2n || length > BigInt(most))
    throw malformed(file.path, `header length: expected 2 to ${most} bytes, got ${length}`)
  return Number(length)
}

/**
 * The tensors of a safetensors file from the text of its header: every type known, every byte range as long as its
 * shape says, ranges one after another from the first data byte to the last of the file, no name twice. `dataStart` is
 * where data begins. WEIGHTS_MALFORMED, WEIGHTS_DTYPE, naming file, tensor and field.
 */
export function parseHeader(
  text: string,
  file: { path: string; size: number; dataStart: number },
): Map<string, TensorInfo<TensorType>> {
  const header = parseDistinct(text, file.path)
  const tensors: [string, TensorInfo<TensorType>][] = []
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") checkMetadata(value, file.path)
    else tensors.push([name, parseTensor(name, value, file)])
  }
  tensors.sort(([, left], [, right]) => left.start - right.start || left.bytes - right.bytes)
  let end = file.dataStart
  for (const [name, { start, bytes }] of tensors) {
    if (start !== end)
      throw malformed(
        file.path,
        `${name}.data_offsets: expected to begin where the tensor before ends, ` +
          `at ${end - file.dataStart}, got ${start - file.dataStart}`,
      )
    end = start + bytes
  }
  if (end !== file.size)
    throw malformed(file.path, `expected data up to byte ${file.size}, the end of the file, but tensors end at ${end}`)
  return new Map(tensors)
}

function parseTensor(
  name: string,
  value: unknown,
  file: { path: string; size: number; dataStart: number },
): TensorInfo<TensorType> {
  if (name.length > NAME_LENGTH_MAX)
    throw malformed(file.path, `tensor name: expected at most ${NAME_LENGTH_MAX} characters, got ${name.length}`)
  const at = (field: string): string => `${JSON.stringify(name).slice(1, -1)}${field}`
  if (!isJsonObject(value)) throw malformed(file.path, `${at("")}: expected an object`)
  const { dtype, shape, data_offsets: offsets, ...rest } = value
  const [extra] = Object.keys(rest)
  if (extra !== undefined)
    throw malformed(file.path, `${at("")}: expected dtype, shape and data_offsets only, got ${showJson(extra)}`)
  if (typeof dtype !== "string" || !Object.hasOwn(ELEMENT_BYTES, dtype))
    throw new LaminaError(
      "WEIGHTS_DTYPE",
      `${file.path}: ${at(".dtype")}: expected one of ${Object.keys(ELEMENT_BYTES).join(", ")}, got ${showJson(dtype)}`,
    )
  if (!isSizes(shape) || shape.length > DIMENSIONS_MAX)
    throw malformed(
      file.path,
      `${at(".shape")}: expected up to ${DIMENSIONS_MAX} whole numbers from 0, got ${showJson(shape)}`,
    )
  if (!isSizes(offsets) || offsets.length !== 2)
    throw malformed(file.path, `${at(".data_offsets")}: expected two whole numbers from 0, got ${showJson(offsets)}`)
  const [begin, end] = offsets as [number, number]
  if (begin > end || end > file.size - file.dataStart)
    throw malformed(
      file.path,
      `${at(".data_offsets")}: expected begin <= end <= ${file.size - file.dataStart}, got ${showJson(offsets)}`,
    )
  const bytes = tensorBytes(dtype as TensorType, shape)
  if (bytes !== end - begin)
    throw malformed(
      file.path,
      `${at(".data_offsets")}: expected ${bytes} bytes for ${dtype} ${showJson(shape)}, got ${end - begin}`,
    )
  return { file: file.path, dtype: dtype as TensorType, shape, start: file.dataStart + begin, bytes }
}

function checkMetadata(value: unknown, path: string): void {
  if (!isJsonObject(value) || !Object.values(value).every((entry) => typeof entry === "string"))
    throw malformed(path, "__metadata__: expected an object of strings")
}

/** JSON.parse keeps the last of two equal keys; here they are refused. */
function parseDistinct(text: string, path: string): JsonObject {
  const header = parseJsonObject(text, `${path}: header`, "WEIGHTS_MALFORMED")
  const kept = Object.values(header).reduce(
    (sum: number, entry) => sum + (isJsonObject(entry) ? Object.keys(entry).length : 0),
    Object.keys(header).length,
  )
  const written = countMembers(text)
  if (written !== kept)
    throw malformed(
      path,
      `header: expected every key once and two levels of objects, got ${written} keys instead of ${kept}`,
    )
  return header
}

/** Members of all objects in JSON text: each has one colon outside of strings. */
function countMembers(text: string): number {
  let members = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === '"') quoted = !quoted
    else if (char === "\\" && quoted) i++
    else if (char === ":" && !quoted) members++
  }
  return members
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0)
}

function malformed(path: string, message: string): LaminaError {
  return new LaminaError("WEIGHTS_MALFORMED", `${path}: ${message}`)
}
