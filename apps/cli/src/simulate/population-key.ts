import { LaminaError } from "@lamina/protocol/errors"
import type { SourceRow } from "@lamina/tuner"

/**
 * Reads a row's key under a partition's `key`: a column, or `column:pattern`, the first group of its first match.
 * Undefined for a row that has none: the column is not there or empty, or the pattern matches nothing in it.
 * RECIPE_INVALID for a pattern that is no regular expression or has no group.
 */
export function keyReader(key: string): (columns: SourceRow["columns"]) => string | undefined {
  const colon = key.indexOf(":")
  const column = colon < 0 ? key : key.slice(0, colon)
  const pattern = colon < 0 ? undefined : patternOf(key.slice(colon + 1))
  return (columns) => keyOf(Object.hasOwn(columns, column) ? columns[column] : undefined, pattern)
}

function patternOf(source: string): RegExp {
  let pattern: RegExp
  try {
    pattern = new RegExp(source, "u")
  } catch (cause) {
    throw invalid("a regular expression behind the colon", source, cause)
  }
  // "|" lets it match the empty text, and a match lists all groups
  if ((new RegExp(`${source}|`, "u").exec("")?.length ?? 0) < 2)
    throw invalid("a pattern with a group, which is the key", source)
  return pattern
}

function keyOf(value: unknown, pattern: RegExp | undefined): string | undefined {
  if (value === undefined || value === null) return undefined
  const text = typeof value === "object" && !(value instanceof Date) ? JSON.stringify(value) : String(value)
  return (pattern === undefined ? text : pattern.exec(text)?.[1]) || undefined
}

function invalid(expected: string, got: string, cause?: unknown): LaminaError {
  const message = `simulation.population.partition.key: expected ${expected}, got ${JSON.stringify(got)}`
  return new LaminaError("RECIPE_INVALID", message, { cause })
}
