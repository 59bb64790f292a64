import { InvalidArgumentError } from "commander"

/** commander parsers: text of the command line -> number, with an error that says what was expected. */
export function positiveInt(text: string): number {
  const value = numberOf(text)
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError(`expected a whole number from 1, got "${text}"`)
  return value
}

export function nonNegativeInt(text: string): number {
  const value = numberOf(text)
  if (!Number.isSafeInteger(value) || value < 0)
    throw new InvalidArgumentError(`expected a whole number from 0, got "${text}"`)
  return value
}

const BYTES_OF: Readonly<Record<string, number>> = {
  ...{ "": 1, b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 },
  ...{ kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 },
}

/** "10MB", "1.5 GiB" or "4096" -> bytes, whole and at least 1. */
export function byteCount(text: string): number {
  const [, number = "", unit = ""] = /^\s*([\d.]+)\s*([a-z]*)\s*$/i.exec(text) ?? []
  const bytes = Math.round(numberOf(number) * (BYTES_OF[unit.toLowerCase()] ?? NaN))
  if (!Number.isSafeInteger(bytes) || bytes < 1)
    throw new InvalidArgumentError(`expected bytes such as 10MB, 1.5GiB or 4096, got "${text}"`)
  return bytes
}

/** What seeds of sampling are: a whole number of 32 bits. */
export function seed32(text: string): number {
  const value = numberOf(text)
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32)
    throw new InvalidArgumentError(`expected a whole number from 0 to ${2 ** 32 - 1}, got "${text}"`)
  return value
}

/** "3,1,0.5" -> [3, 1, 0.5], all finite and not negative. */
export function numberList(text: string): number[] {
  const values = text.split(",").map(numberOf)
  if (values.some((value) => !Number.isFinite(value) || value < 0))
    throw new InvalidArgumentError(`expected numbers from 0 separated by commas, got "${text}"`)
  return values
}

/** A finite number from 0. */
export function nonNegative(text: string): number {
  const value = numberOf(text)
  if (!Number.isFinite(value) || value < 0) throw new InvalidArgumentError(`expected a number from 0, got "${text}"`)
  return value
}

/** A finite number above 0. */
export function positive(text: string): number {
  const value = numberOf(text)
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError(`expected a number above 0, got "${text}"`)
  return value
}

/** A number from 0 to below 1. */
export function share(text: string): number {
  const value = numberOf(text)
  if (!(value >= 0 && value < 1)) throw new InvalidArgumentError(`expected a number from 0 to below 1, got "${text}"`)
  return value
}

/** A number above 0, at most 1. */
export function probability(text: string): number {
  const value = numberOf(text)
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError(`expected a number above 0 to 1, got "${text}"`)
  return value
}

/** A number from 0 to 1. */
export function upToOne(text: string): number {
  const value = numberOf(text)
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError(`expected a number from 0 to 1, got "${text}"`)
  return value
}

/** For an option that may be given several times: the values in order. */
export function appended(text: string, before: readonly string[]): string[] {
  return [...before, text]
}

/** `appended` of texts that may not be empty. */
export function appendedText(text: string, before: readonly string[]): string[] {
  if (text === "") throw new InvalidArgumentError("expected a text, got an empty one")
  return appended(text, before)
}

/** NaN for blank text, which `Number` takes for 0. */
function numberOf(text: string): number {
  return text.trim() === "" ? NaN : Number(text)
}
