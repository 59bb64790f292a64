import { showJson } from "../files/json.js"
import type { GgufCursor } from "./gguf-cursor.js"

/** A metadata value; whole numbers of 64 bits are bigints where a number would not be exact. */
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[]

/** Four times the longest chat template or licence we know of is under 1 MB. */
const STRING_BYTES_MAX = 4 * 2 ** 20
/** Arrays in arrays; no file we know of has any. */
const DEPTH_MAX = 4
/** Elements of all arrays of a file: a vocabulary of 2^20 tokens with scores, types and merges. */
const ELEMENTS_MAX = 2 ** 22

const ARRAY = 9
/** Bytes the shortest value of each type takes; strings and arrays begin with a length. */
const BYTES_MIN: Readonly<Record<number, number>> = {
  ...{ 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1 },
  ...{ 8: 8, 9: 12, 10: 8, 11: 8, 12: 8 },
}

const SCALARS: Readonly<Record<number, (cursor: GgufCursor) => GgufValue>> = {
  0: (cursor) => cursor.u8(),
  1: (cursor) => cursor.i8(),
  2: (cursor) => cursor.u16(),
  3: (cursor) => cursor.i16(),
  4: (cursor) => cursor.u32(),
  5: (cursor) => cursor.i32(),
  6: (cursor) => cursor.f32(),
  7: (cursor) => readBool(cursor),
  8: (cursor) => cursor.string(STRING_BYTES_MAX),
  10: (cursor) => cursor.u64(),
  11: (cursor) => cursor.i64(),
  12: (cursor) => cursor.f64(),
}

/** Reads metadata values of one file, all within one bound on array elements. */
export class GgufValues {
  private elements = 0

  constructor(private readonly cursor: GgufCursor) {}

  /** A type number and the value that follows it. WEIGHTS_MALFORMED naming the field, ShortHeader. */
  next(): GgufValue {
    return this.read(this.cursor.u32(), 1)
  }

  private read(type: number, depth: number): GgufValue {
    if (type === ARRAY) return this.array(depth)
    const read = SCALARS[type]
    if (read === undefined) throw this.cursor.malformed(`type: expected 0 to 12, got ${type}`)
    return read(this.cursor)
  }

  private array(depth: number): GgufValue[] {
    const { cursor } = this
    if (depth > DEPTH_MAX) throw cursor.malformed(`expected at most ${DEPTH_MAX} arrays in each other, got more`)
    const type = cursor.u32()
    const least = BYTES_MIN[type]
    if (least === undefined) throw cursor.malformed(`type of elements: expected 0 to 12, got ${type}`)
    const most = Math.min(ELEMENTS_MAX - this.elements, Math.floor((cursor.size - cursor.position - 8) / least))
    const count = cursor.count("elements of an array", Math.max(0, most))
    this.elements += count
    const values: GgufValue[] = []
    for (let i = 0; i < count; i++) values.push(this.read(type, depth + 1))
    return values
  }
}

function readBool(cursor: GgufCursor): boolean {
  const byte = cursor.u8()
  if (byte > 1) throw cursor.malformed(`expected false (0) or true (1), got ${byte}`)
  return byte === 1
}

/** A value in a message: short. */
export function showValue(value: GgufValue | undefined): string {
  if (typeof value === "bigint") return String(value)
  if (typeof value !== "object") return showJson(value)
  return `[${value.slice(0, 6).map(showValue).join(", ")}${value.length > 6 ? ", …" : ""}]`
}
