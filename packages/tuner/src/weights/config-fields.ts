import { LaminaError } from "@lamina/protocol/errors"

import { isJsonObject, showJson } from "../files/json.js"
import type { JsonObject } from "../files/json.js"

/**
 * The members of a config.json, each checked when it is asked for. A null counts as nothing, as in transformers.
 * Every method throws MODEL_CONFIG, or MODEL_UNSUPPORTED where it says so, with file, key, what was expected and got.
 */
export class ConfigFields {
  constructor(
    private readonly config: JsonObject,
    private readonly path: string,
    /** Where `config` lies in the file: `rope_scaling.`. */
    private readonly prefix = "",
  ) {}

  /** All keys that are there, as they are written. */
  keys(): string[] {
    return Object.keys(this.config)
  }

  /** Whether the key is there and not null. */
  has(key: string): boolean {
    return this.get(key) !== undefined
  }

  /** Whether the key is there and null. */
  isNull(key: string): boolean {
    return this.config[key] === null
  }

  /** The value, whatever it is; undefined for null. */
  get(key: string): unknown {
    return this.config[key] ?? undefined
  }

  /** A whole number from 1 to `most`; `fallback` where there is none. */
  size(key: string, most: number, fallback?: number): number {
    const value = this.get(key) ?? fallback
    if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most) return value as number
    throw this.invalid(key, `an integer from 1 to ${most}`)
  }

  /** A finite number above 0. */
  real(key: string, fallback?: number): number {
    const value = this.get(key) ?? fallback
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value
    throw this.invalid(key, "a number above 0")
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.get(key) ?? fallback
    if (typeof value === "boolean") return value
    throw this.invalid(key, "true or false")
  }

  /** A member that is an object; undefined where there is none. */
  object(key: string): ConfigFields | undefined {
    const value = this.get(key)
    if (value === undefined) return undefined
    if (!isJsonObject(value)) throw this.invalid(key, "an object or null")
    return new ConfigFields(value, this.path, `${this.prefix}${key}.`)
  }

  /** Refuses any value but `wanted` and, with `required` unset, nothing. MODEL_UNSUPPORTED. */
  only(key: string, wanted: unknown, options: { required?: boolean } = {}): void {
    const value = this.get(key)
    if (value === wanted || (value === undefined && options.required !== true)) return
    throw this.unsupported(key, showJson(wanted))
  }

  /** MODEL_CONFIG for a value that makes no sense. */
  invalid(key: string, expected: string): LaminaError {
    return new LaminaError("MODEL_CONFIG", this.message(key, expected))
  }

  /** MODEL_UNSUPPORTED for a value our decoder does not compute with. */
  unsupported(key: string, expected: string): LaminaError {
    return new LaminaError("MODEL_UNSUPPORTED", this.message(key, expected))
  }

  private message(key: string, expected: string): string {
    return `${this.path}: ${this.prefix}${key.slice(0, 80)}: expected ${expected}, got ${showJson(this.config[key])}`
  }
}
