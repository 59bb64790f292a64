import { compareNames } from "./adapter.js"
import { Misfit, misfit } from "./codec.js"
import type { Field } from "./codec.js"

/** Checks for the kinds of fields the messages use. An absent proto3 field reads as its zero value. */

/** Whole number within 0..max; uint64 arrives as a Long and must fit a double exactly. */
export function integer({
  min = 0,
  max = Number.MAX_SAFE_INTEGER,
}: { min?: number; max?: number } = {}): Field<number> {
  return {
    numberMax: max,
    read(value) {
      const number = plainNumber(value ?? 0)
      if (!Number.isSafeInteger(number) || number < min || number > max)
        throw misfit(`a whole number from ${min} to ${max}`, number)
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
    read(value) {
      const given = value ?? false
      if (typeof given !== "boolean") throw misfit("true or false", given)
      return given
    },
  }
}

export function double({ min = -Infinity, max = Infinity }: { min?: number; max?: number } = {}): Field<number> {
  return {
    read(value) {
      const number = value ?? 0
      if (typeof number !== "number" || !Number.isFinite(number) || number < min || number > max)
        throw misfit(`a finite number from ${min} to ${max}`, number)
      return number
    },
  }
}

/**
 * Bytes of one of `lengths`, or of at most `max`; always a copy, since protobufjs hands out views of the whole frame.
 */
export function bytes({ lengths, max = Infinity }: { lengths?: readonly number[]; max?: number }): Field<Uint8Array> {
  return {
    read(value) {
      const given = value ?? new Uint8Array(0)
      if (!(given instanceof Uint8Array)) throw misfit("bytes", given)
      if (lengths && !lengths.includes(given.byteLength)) throw misfit(`${lengths.join(" or ")} bytes`, given)
      if (given.byteLength > max) throw misfit(`at most ${max} bytes`, given)
      return new Uint8Array(given)
    },
  }
}

/** Text of `min` to `max` bytes of UTF-8. Half a surrogate pair has no UTF-8 and would come back as another text. */
export function text({ min = 0, max }: { min?: number; max: number }): Field<string> {
  return {
    read(value) {
      const given = value ?? ""
      if (typeof given !== "string" || !isWellFormed(given)) throw misfit("text", given)
      const length = Buffer.byteLength(given)
      if (length < min || length > max) throw misfit(`text of ${min} to ${max} bytes`, given)
      return given
    },
  }
}

/** A name people read in logs and terminals: not empty, no control characters. */
export function label({ max }: { max: number }): Field<string> {
  const field = text({ min: 1, max })
  return {
    read(value) {
      const given = field.read(value)
      if (/\p{Cc}/u.test(given)) throw misfit("a name without control characters", given)
      return given
    },
  }
}

/** A relative path with "/" that stays below its folder on every system. */
export function relativePath({ max }: { max: number }): Field<string> {
  const field = label({ max })
  return {
    read(value) {
      const given = field.read(value)
      const safe =
        !/[\\:]/.test(given) && given.split("/").every((part) => part !== "" && part !== "." && part !== "..")
      if (!safe) throw misfit('a relative path of plain names and "/"', given)
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
    read(value) {
      const found = words.find((known) => known === (value ?? ""))
      if (found === undefined) throw misfit(`one of ${words.map((known) => `"${known}"`).join(", ")}`, value ?? "")
      return found
    },
  }
}

export function list<T>(item: Field<T>, { min = 0, max }: { min?: number; max: number }): Field<readonly T[]> {
  return {
    countMax: max,
    ...(item.nested ? { nested: item.nested } : {}),
    read(value) {
      const given = value ?? []
      if (!Array.isArray(given) || given.length < min || given.length > max)
        throw misfit(`${min} to ${max} entries`, Array.isArray(given) ? given.length : given)
      const read: T[] = []
      try {
        for (const entry of given) read.push(item.read(entry))
      } catch (error) {
        throw error instanceof Misfit ? error.within(`[${read.length}]`) : error
      }
      return read
    },
  }
}

/** A sub-message, or one alternative of a oneof, that may be absent. */
export function optional<T>(field: Field<T>): Field<T | undefined> {
  return {
    ...(field.nested ? { nested: field.nested } : {}),
    read: (value) => (value === undefined || value === null ? undefined : field.read(value)),
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
