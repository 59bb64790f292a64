import { compareNames } from "./adapter.js"
import { malformed } from "./codec.js"
import type { Field } from "./codec.js"

/** Checks for the kinds of fields the messages use. An absent proto3 field reads as its zero value. */

/** Whole number within 0..max; uint64 arrives as a Long and must fit a double exactly. */
export function integer({
  min = 0,
  max = Number.MAX_SAFE_INTEGER,
}: { min?: number; max?: number } = {}): Field<number> {
  return {
    numberMax: max,
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

/** Yes or no; a varint above 1 is neither. */
export function flag(): Field<boolean> {
  return {
    numberMax: 1,
    read(value, where) {
      const given = value ?? false
      if (typeof given !== "boolean") throw malformed(where, "true or false", given)
      return given
    },
  }
}

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

/**
 * Bytes of one of `lengths`, or of at most `max`; always a copy, since protobufjs hands out views of the whole frame.
 */
export function bytes({ lengths, max = Infinity }: { lengths?: readonly number[]; max?: number }): Field<Uint8Array> {
  return {
    read(value, where) {
      const given = value ?? new Uint8Array(0)
      if (!(given instanceof Uint8Array)) throw malformed(where, "bytes", given)
      if (lengths && !lengths.includes(given.byteLength)) throw malformed(where, `${lengths.join(" or ")} bytes`, given)
      if (given.byteLength > max) throw malformed(where, `at most ${max} bytes`, given)
      return new Uint8Array(given)
    },
  }
}

/** Text of `min` to `max` bytes of UTF-8. Half a surrogate pair has no UTF-8 and would come back as another text. */
export function text({ min = 0, max }: { min?: number; max: number }): Field<string> {
  return {
    read(value, where) {
      const given = value ?? ""
      if (typeof given !== "string" || !isWellFormed(given)) throw malformed(where, "text", given)
      const length = Buffer.byteLength(given)
      if (length < min || length > max) throw malformed(where, `text of ${min} to ${max} bytes`, given)
      return given
    },
  }
}

/** A name people read in logs and terminals: not empty, no control characters. */
export function label({ max }: { max: number }): Field<string> {
  const field = text({ min: 1, max })
  return {
    read(value, where) {
      const given = field.read(value, where)
      if (/\p{Cc}/u.test(given)) throw malformed(where, "a name without control characters", given)
      return given
    },
  }
}

/** A relative path with "/" that stays below its folder on every system. */
export function relativePath({ max }: { max: number }): Field<string> {
  const field = label({ max })
  return {
    read(value, where) {
      const given = field.read(value, where)
      const safe =
        !/[\\:]/.test(given) && given.split("/").every((part) => part !== "" && part !== "." && part !== "..")
      if (!safe) throw malformed(where, 'a relative path of plain names and "/"', given)
      return given
    },
  }
}

function isWellFormed(given: string): boolean {
  return !/\p{Surrogate}/u.test(given)
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
    countMax: max,
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

/** For a message of which exactly one field must be there: a oneof. */
export function exactlyOne(value: object): string | undefined {
  const count = Object.keys(value).length
  return count === 1 ? undefined : `expected exactly one alternative, got ${count}`
}

/** Each entry after the one before it in code-unit order, so none twice. */
export function rising(names: readonly string[]): string | undefined {
  const at = names.findIndex((name, i) => i > 0 && compareNames(names[i - 1] ?? "", name) >= 0)
  return at < 0 ? undefined : `expected rising names, got one at ${at} that is not after the one before it`
}

function plainNumber(value: unknown): number {
  if (typeof value === "number") return value
  if (typeof value === "object" && value !== null && "low" in value && "high" in value) {
    const { low, high } = value as { low: number; high: number }
    return (high >>> 0) * 2 ** 32 + (low >>> 0)
  }
  return NaN
}
