import { LaminaError } from "./errors.js"
import { LIMITS } from "./limits.js"

/**
 * Walks protobuf bytes without building anything: counts fields, checks that every length stays inside. A message of
 * empty sub-messages would otherwise decode to far more memory than it has bytes. Sub-messages are walked where
 * `nested` says so, since bytes and strings look the same.
 */
export interface WireShape {
  /** By field number, nothing at 0. Unknown numbers are a newer peer's and are skipped. */
  readonly fields: readonly (WireField | undefined)[]
}

export interface WireField {
  /** How often it may come. */
  readonly countMax: number
  /** Largest number it may hold, where it holds one: decoders cut larger ones down to 32 or 64 bits without a word. */
  readonly numberMax?: number | undefined
  readonly nested?: WireShape | undefined
}

/**
 * Throws FRAME_MALFORMED (bad varint, length, wire type, depth, a single field twice) or FRAME_TOO_LARGE (more entries
 * than a list may have, more than LIMITS.fieldsMax fields in all).
 */
export function scanWire(bytes: Uint8Array, shape: WireShape, name = "protobuf"): void {
  new Scanner(bytes, name).message(0, bytes.length, { shape, depth: 0 })
}

const SHALLOW: WireShape = { fields: [] }

/**
 * Where all entries of the list with this field number lie, their tags and lengths with them, when nothing stands
 * between them; undefined where something does, and where there are none. Throws as scanWire does, but looks into no
 * sub-message.
 */
export function placeOfList(bytes: Uint8Array, list: number, name: string): { start: number; end: number } | undefined {
  let [start, end, isTorn] = [-1, -1, false]
  const visit = (number: number, from: number, to: number): void => {
    if (number !== list) return
    if (start < 0) start = from
    else if (from !== end) isTorn = true
    end = to
  }
  new Scanner(bytes, name).message(0, bytes.length, { shape: SHALLOW, depth: 0, visit })
  return start < 0 || isTorn ? undefined : { start, end }
}

interface Walk {
  readonly shape: WireShape
  readonly depth: number
  /** Told of every field of this message, from its tag to its end. */
  readonly visit?: (number: number, from: number, to: number) => void
}

class Scanner {
  #at = 0
  #fields = 0

  constructor(
    private readonly bytes: Uint8Array,
    private readonly name: string,
  ) {}

  message(start: number, end: number, { shape, depth, visit }: Walk): void {
    if (depth > LIMITS.depthMax) throw this.#malformed(`messages nested deeper than ${LIMITS.depthMax}`)
    const seen = new Uint32Array(shape.fields.length)
    this.#at = start
    while (this.#at < end) {
      if (++this.#fields > LIMITS.fieldsMax)
        throw this.#tooLarge(`expected at most ${LIMITS.fieldsMax} fields in a message, got more`)
      const from = this.#at
      const tag = this.#varint(end)
      if (tag > 0xffff_ffff) throw this.#malformed("a field number of more than 29 bits")
      const number = Math.floor(tag / 8)
      this.#count(number, seen, shape)
      this.#field({ number, wireType: tag % 8, end, shape, depth })
      visit?.(number, from, this.#at)
    }
    if (this.#at !== end) throw this.#malformed("a field runs past the end of its message")
  }

  #count(number: number, seen: Uint32Array, shape: WireShape): void {
    const known = shape.fields[number]
    if (!known) return
    const count = (seen[number] ?? 0) + 1
    seen[number] = count
    if (count <= known.countMax) return
    if (known.countMax === 1) throw this.#malformed(`field ${number} comes twice`)
    throw this.#tooLarge(`field ${number}: expected at most ${known.countMax} entries, got more`)
  }

  #field(field: { number: number; wireType: number; end: number; shape: WireShape; depth: number }): void {
    const { number, wireType, end, shape, depth } = field
    if (number < 1) throw this.#malformed("field number 0")
    if (wireType === 0) {
      const max = shape.fields[number]?.numberMax ?? Infinity
      if (this.#varint(end) > max)
        throw this.#malformed(`field ${number}: expected a number of at most ${max}, got a larger one`)
      return
    }
    const length = wireType === 2 ? this.#varint(end) : wireType === 1 ? 8 : wireType === 5 ? 4 : -1
    if (length < 0) throw this.#malformed(`wire type ${wireType}`)
    const next = this.#at + length
    if (next > end) throw this.#malformed(`field ${number} has ${length} bytes where ${end - this.#at} are left`)
    const nested = wireType === 2 ? shape.fields[number]?.nested : undefined
    if (nested) this.message(this.#at, next, { shape: nested, depth: depth + 1 })
    this.#at = next
  }

  /** Up to 10 bytes; inexact past 2^53, where every bound has been passed. */
  #varint(end: number): number {
    let value = 0
    let unit = 1
    for (let i = 0; i < 10; i++) {
      const byte = this.bytes[this.#at]
      if (byte === undefined || this.#at >= end) throw this.#malformed("a number runs past the end of its message")
      this.#at++
      value += (byte & 0x7f) * unit
      if (byte < 0x80) return value
      unit *= 128
    }
    throw this.#malformed("a number of more than 10 bytes")
  }

  #malformed(what: string): LaminaError {
    return new LaminaError("FRAME_MALFORMED", `${this.name}: ${what}`)
  }

  #tooLarge(what: string): LaminaError {
    return new LaminaError("FRAME_TOO_LARGE", `${this.name}: ${what}`)
  }
}
