import { malformed } from "./codec.js"
import type { Field, MessageCodec } from "./codec.js"

/** Checks for the kinds of fields the messages use. An absent proto3 field reads as its zero value. */

/** Whole number within 0..max; uint64 arrives as a Long and must fit a double exactly. */
export function integer({
  min = 0,
  max = Number.MAX_SAFE_INTEGER,
}: { min?: number; max?: number } = {}): Field<number> {
  return {
    read(value, where) {
      const number = plainNumber(value ?? 0)
      if (!Number.isSafeInteger(number) || number < min || number > max)
        throw malformed(where, `a whole number from ${min} to ${max}`, number)
      return number
    },
  }
}

export const uint32 = (options: { min?: number; max?: number } = {}): Field<number> =>
  integer({ max: 0xffff_ffff, ...options })

export function double({ min = -Infinity, max = Infinity }: { min?: number; max?: number } = {}): Field<number> {
  return {
    read(value, where) {
      const number = value ?? 0
      if (typeof number !== "number" || !Number.isFinite(number) || number < min || number > max)
        throw malformed(where, `a finite number from ${min} to ${max}`, number)
      return number
    },
  }
}

/** Bytes of exactly `length`, or of at most `max`; always a copy, since protobufjs hands out views of the whole frame. */
export function bytes({ length, max }: { length?: number; max?: number }): Field<Uint8Array> {
  return {
    read(value, where) {
      const given = value ?? new Uint8Array(0)
      if (!(given instanceof Uint8Array)) throw malformed(where, "bytes", given)
      if (length !== undefined && given.byteLength !== length) throw malformed(where, `${length} bytes`, given)
      if (max !== undefined && given.byteLength > max) throw malformed(where, `at most ${max} bytes`, given)
      return Uint8Array.from(given)
    },
  }
}

export function text({ min = 0, max }: { min?: number; max: number }): Field<string> {
  return {
    read(value, where) {
      const given = value ?? ""
      if (typeof given !== "string" || given.length < min || given.length > max)
        throw malformed(where, `text of ${min} to ${max} characters`, given)
      return given
    },
  }
}

/** One of a few words; the message names them. */
export function word<const W extends string>(words: readonly W[]): Field<W> {
  return {
    read(value, where) {
      const found = words.find((known) => known === (value ?? ""))
      if (found === undefined)
        throw malformed(where, `one of ${words.map((known) => `"${known}"`).join(", ")}`, value ?? "")
      return found
    },
  }
}

export function list<T>(item: Field<T>, { min = 0, max }: { min?: number; max: number }): Field<readonly T[]> {
  return {
    ...(item.nested ? { nested: item.nested } : {}),
    read(value, where) {
      const given = value ?? []
      if (!Array.isArray(given) || given.length < min || given.length > max)
        throw malformed(where, `${min} to ${max} entries`, Array.isArray(given) ? given.length : given)
      return given.map((entry, i) => item.read(entry, `${where}[${i}]`))
    },
  }
}

/** A sub-message, or one alternative of a oneof, that may be absent. */
export function optional<T>(field: Field<T>): Field<T | undefined> {
  return {
    ...(field.nested ? { nested: field.nested } : {}),
    read: (value, where) => (value === undefined || value === null ? undefined : field.read(value, where)),
  }
}

/** A message of which exactly one field must be there: a oneof. */
export function exactlyOne<T extends object>(codec: MessageCodec<T>): MessageCodec<T> {
  const read = (value: unknown, where: string): T => {
    const checked = codec.read(value, where)
    if (Object.keys(checked).length !== 1)
      throw malformed(where, "exactly one alternative", Object.keys(checked).length)
    return checked
  }
  return {
    nested: codec.nested,
    read,
    encode: (value) => codec.encode(read(value, "message")),
    decode: (input, options) => read(codec.decode(input, options), "message"),
  }
}

function plainNumber(value: unknown): number {
  if (typeof value === "number") return value
  if (typeof value === "object" && value !== null && "low" in value && "high" in value) {
    const { low, high } = value as { low: number; high: number }
    return (high >>> 0) * 2 ** 32 + (low >>> 0)
  }
  return NaN
}
