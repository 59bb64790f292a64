import { readFile } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"
import type { BaseShape, ModuleScores } from "@lamina/planner"

/**
 * Importance of every module from a JSON file, `{ "model.layers.0.self_attn.q_proj": 0.7, ... }`: numbers from 0, of
 * which modules that are not named have none; without a file, 1 for each. FILE_UNREADABLE, USAGE for anything else in
 * the file, or a module the base does not have.
 */
export async function loadScores(
  path: string | undefined,
  { modules }: Pick<BaseShape, "modules">,
): Promise<ModuleScores> {
  if (path === undefined) return new Map(modules.map(({ name }) => [name, 1]))
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new LaminaError("FILE_UNREADABLE", `cannot read the scores ${path}: ${cause.code ?? cause.message}`, {
      cause,
    })
  })
  const scores = Object.entries(parsed(path, text))
  const known = new Set(modules.map(({ name }) => name))
  for (const [name, score] of scores) {
    if (!known.has(name)) throw new LaminaError("USAGE", `${path}: expected modules of the base, got "${name}"`)
    if (typeof score !== "number" || !Number.isFinite(score) || score < 0)
      throw new LaminaError("USAGE", `${path}: ${name}: expected a number from 0, got ${JSON.stringify(score)}`)
  }
  return new Map(scores as [string, number][])
}

function parsed(path: string, text: string): object {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new LaminaError("USAGE", `${path} is not JSON: ${(cause as Error).message}`, { cause })
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new LaminaError("USAGE", `${path}: expected an object of module names and numbers`)
  return value
}
