import { LaminaError } from "@lamina/protocol/errors"

import { ggmlType } from "./ggml-types.js"
import type { GgmlType } from "./ggml-types.js"
import { GgufCursor } from "./gguf-cursor.js"
import type { GgufBytes } from "./gguf-cursor.js"
import { GgufValues, showValue } from "./gguf-value.js"
import type { GgufValue } from "./gguf-value.js"

/** "GGUF" as a little-endian number. */
export const GGUF_MAGIC = 0x46554747
export const GGUF_VERSION = 3
/** Where data begins and tensors lie, unless general.alignment says otherwise. */
export const GGUF_ALIGNMENT = 32
/** ggml's own bound is 64; the key of a tensor we know of is shorter. */
const NAME_BYTES_MAX = 255
/** The specification's bound. */
const KEY_BYTES_MAX = 65_535
const DIMENSIONS_MAX = 4
/** Beyond any file we know of by a factor of 50; each takes an entry in a map. */
const METADATA_MAX = 65_536
const TENSORS_MAX = 65_536
const ALIGNMENT_MAX = 65_536

/** One tensor of a file. */
export interface GgufTensor {
  readonly type: GgmlType
  /** Row-major, out features first: ggml's `ne` the other way round. */
  readonly shape: readonly number[]
  /** Its first byte, counted from the start of the file. */
  readonly start: number
  readonly bytes: number
}

/** What a GGUF file says before its data. */
export interface GgufHeader {
  readonly version: number
  readonly alignment: number
  readonly metadata: ReadonlyMap<string, GgufValue>
  readonly tensors: ReadonlyMap<string, GgufTensor>
}

/**
 * The header of a GGUF file (version 2 or 3, little-endian) from its first bytes, everything checked: counts and
 * lengths before anything is allocated, keys and names once each, tensors aligned, inside the file and apart from each
 * other. ShortHeader when the header goes on behind `bytes`; WEIGHTS_MALFORMED, WEIGHTS_DTYPE and MODEL_UNSUPPORTED
 * name file, field, what was expected and what was there.
 */
export function parseGgufHeader(file: GgufBytes): GgufHeader {
  const cursor = new GgufCursor(file)
  const version = readVersion(cursor)
  cursor.field = "tensor count"
  const tensorCount = cursor.count("tensors", TENSORS_MAX)
  cursor.field = "metadata count"
  const metadataCount = cursor.count("entries", METADATA_MAX)
  const metadata = readMetadata(cursor, metadataCount)
  const alignment = readAlignment(cursor, metadata)
  const found = readTensors(cursor, tensorCount)
  const dataStart = Math.ceil(cursor.position / alignment) * alignment
  const tensors = new Map<string, GgufTensor>()
  for (const [name, { type, shape, offset }] of found) {
    cursor.field = name
    tensors.set(name, place(cursor, { type, shape, offset }, { dataStart, alignment }))
  }
  checkApart(cursor, tensors)
  return { version, alignment, metadata, tensors }
}

function readVersion(cursor: GgufCursor): number {
  cursor.field = "magic"
  const magic = cursor.u32()
  if (magic !== GGUF_MAGIC) throw cursor.malformed(`expected "GGUF", got 0x${magic.toString(16).padStart(8, "0")}`)
  cursor.field = "version"
  const version = cursor.u32()
  if (version === 2 || version === 3) return version
  const what =
    version === 1 ? "version 1" : version > 0 && version % 2 ** 24 === 0 ? "a big-endian file" : `version ${version}`
  throw new LaminaError("MODEL_UNSUPPORTED", `${cursor.path}: version: expected 2 or 3, little-endian, got ${what}`, {
    hint: "convert the model again with a current llama.cpp",
  })
}

function readMetadata(cursor: GgufCursor, count: number): Map<string, GgufValue> {
  const values = new GgufValues(cursor)
  const metadata = new Map<string, GgufValue>()
  for (let i = 0; i < count; i++) {
    cursor.field = `metadata ${i}`
    const key = cursor.string(KEY_BYTES_MAX)
    cursor.field = `metadata ${JSON.stringify(key.slice(0, 80)).slice(1, -1)}`
    if (key === "") throw cursor.malformed("expected a key, got empty text")
    if (metadata.has(key)) throw cursor.malformed("expected every key once, got it twice")
    metadata.set(key, values.next())
  }
  return metadata
}

function readAlignment(cursor: GgufCursor, metadata: ReadonlyMap<string, GgufValue>): number {
  const value = metadata.get("general.alignment") ?? GGUF_ALIGNMENT
  if (typeof value === "number" && value >= 8 && value <= ALIGNMENT_MAX && Number.isInteger(Math.log2(value)))
    return value
  cursor.field = "metadata general.alignment"
  throw cursor.malformed(`expected a power of two from 8 to ${ALIGNMENT_MAX}, got ${showValue(value)}`)
}

interface TensorEntry {
  readonly type: GgmlType
  readonly shape: readonly number[]
  readonly offset: number
}

function readTensors(cursor: GgufCursor, count: number): Map<string, TensorEntry> {
  const tensors = new Map<string, TensorEntry>()
  for (let i = 0; i < count; i++) {
    cursor.field = `tensor ${i}`
    const name = cursor.string(NAME_BYTES_MAX)
    cursor.field = `tensor ${JSON.stringify(name.slice(0, 80)).slice(1, -1)}`
    if (name === "") throw cursor.malformed("name: expected text, got none")
    if (tensors.has(name)) throw cursor.malformed("name: expected every name once, got it twice")
    tensors.set(name, readTensor(cursor))
  }
  return tensors
}

function readTensor(cursor: GgufCursor): TensorEntry {
  const dimensions = cursor.u32()
  if (dimensions < 1 || dimensions > DIMENSIONS_MAX)
    throw cursor.malformed(`dimensions: expected 1 to ${DIMENSIONS_MAX}, got ${dimensions}`)
  const sizes = Array.from({ length: dimensions }, (_, i) => cursor.count(`size ${i}`, 2 ** 31 - 1))
  const empty = sizes.indexOf(0)
  if (empty >= 0) throw cursor.malformed(`size ${empty}: expected at least 1, got 0`)
  const number = cursor.u32()
  const type = ggmlType(number)
  if (type === undefined)
    throw new LaminaError(
      "WEIGHTS_DTYPE",
      `${cursor.path}: ${cursor.field}: type: expected one of ggml's, got ${number}`,
    )
  const offset = cursor.count("offset", cursor.size)
  return { type, shape: sizes.reverse(), offset }
}

function place(
  cursor: GgufCursor,
  { type, shape, offset }: TensorEntry,
  data: { dataStart: number; alignment: number },
): GgufTensor {
  const row = shape.at(-1) ?? 0
  if (row % type.elements !== 0)
    throw cursor.malformed(`row: expected a multiple of ${type.elements} columns for ${type.name}, got ${row}`)
  if (offset % data.alignment !== 0)
    throw cursor.malformed(`offset: expected a multiple of general.alignment ${data.alignment}, got ${offset}`)
  const bytes = shape.reduce((product, size) => product * size, type.bytes / type.elements)
  const start = data.dataStart + offset
  if (!(start + bytes <= cursor.size))
    throw cursor.malformed(
      `data: expected ${bytes} bytes from byte ${start} on for ${type.name} [${shape.join(", ")}], ` +
        `got the end of the file at ${cursor.size}`,
    )
  return { type, shape, start, bytes }
}

function checkApart(cursor: GgufCursor, tensors: ReadonlyMap<string, GgufTensor>): void {
  const sorted = [...tensors].sort(([, left], [, right]) => left.start - right.start)
  for (const [i, [name, { start }]] of sorted.entries()) {
    const before = sorted[i - 1]
    if (before === undefined || before[1].start + before[1].bytes <= start) continue
    cursor.field = `tensor ${name}`
    const end = before[1].start + before[1].bytes
    throw cursor.malformed(`offset: expected data behind that of ${before[0]}, from byte ${end} on, got ${start}`)
  }
}
