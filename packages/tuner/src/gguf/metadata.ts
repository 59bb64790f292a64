import { LaminaError } from "@lamina/protocol/errors"

import type { GgufFile } from "./gguf-file.js"
import { showValue } from "./gguf-value.js"
import type { GgufValue } from "./gguf-value.js"

/** What reading metadata needs of a file. */
export type MetadataSource = Pick<GgufFile, "path" | "metadata">

/** Metadata values by key and meaning; every failure names file, key, what was expected and what was there. */
export class Metadata {
  constructor(private readonly source: MetadataSource) {}

  has(key: string): boolean {
    return this.source.metadata.has(key)
  }

  /** Text; undefined where the key is absent. MODEL_CONFIG. */
  text(key: string): string | undefined {
    const value = this.source.metadata.get(key)
    if (value === undefined || typeof value === "string") return value
    throw this.invalid(key, "text")
  }

  /** A finite number; a 32-bit float as the shortest decimal that rounds to it. MODEL_CONFIG. */
  number(key: string): number | undefined {
    const value = this.source.metadata.get(key)
    if (value === undefined) return undefined
    if (typeof value === "number" && Number.isFinite(value)) return shortest(value)
    throw this.invalid(key, "a finite number")
  }

  /** A whole number from 0; an array of equal ones, one per layer, is that number. MODEL_CONFIG, MODEL_UNSUPPORTED. */
  whole(key: string): number | undefined {
    const value = this.source.metadata.get(key)
    if (value === undefined) return undefined
    if (isWhole(value)) return value
    if (!isArray(value) || !value.every(isWhole) || value.length === 0) throw this.invalid(key, "a whole number from 0")
    if (value.every((each) => each === value[0])) return value[0] as number
    throw this.unsupported(key, "the same in every layer")
  }

  flag(key: string): boolean | undefined {
    const value = this.source.metadata.get(key)
    if (value === undefined || typeof value === "boolean") return value
    throw this.invalid(key, "true or false")
  }

  /** A list of text. MODEL_CONFIG. */
  texts(key: string): readonly string[] | undefined {
    const value = this.source.metadata.get(key)
    if (value === undefined) return undefined
    if (isArray(value) && value.every((each) => typeof each === "string")) return value
    throw this.invalid(key, "a list of text")
  }

  /** A list of numbers. MODEL_CONFIG. */
  numbers(key: string): readonly number[] | undefined {
    const value = this.source.metadata.get(key)
    if (value === undefined) return undefined
    if (isArray(value) && value.every((each) => typeof each === "number")) return value
    throw this.invalid(key, "a list of numbers")
  }

  /** `value`, or MODEL_CONFIG when it is absent. */
  require<Value>(value: Value | undefined, key: string, expected: string): Value {
    if (value === undefined) throw this.invalid(key, expected)
    return value
  }

  invalid(key: string, expected: string): LaminaError {
    return new LaminaError("MODEL_CONFIG", this.describe(key, expected))
  }

  unsupported(key: string, expected: string, hint?: string): LaminaError {
    return new LaminaError("MODEL_UNSUPPORTED", this.describe(key, expected), hint === undefined ? {} : { hint })
  }

  private describe(key: string, expected: string): string {
    const { path, metadata } = this.source
    return `${path}: metadata ${key}: expected ${expected}, got ${showValue(metadata.get(key))}`
  }
}

function isArray(value: GgufValue): value is readonly GgufValue[] {
  return Array.isArray(value)
}

function isWhole(value: GgufValue): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** 9.999999747378752e-6 is how a 32-bit float holds 1e-5; what was meant is the shorter one. */
function shortest(value: number): number {
  if (Math.fround(value) !== value) return value
  for (let digits = 1; digits <= 9; digits++) {
    const rounded = Number(value.toPrecision(digits))
    if (Math.fround(rounded) === value) return rounded
  }
  return value
}
