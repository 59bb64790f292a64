import { readFile } from "node:fs/promises"
import { dirname, resolve } from "node:path"

import { hasErrorCode, LaminaError } from "@lamina/protocol/errors"
import { parseRecipe } from "@lamina/protocol/recipe"
import type { Recipe, RecipeData } from "@lamina/protocol/recipe"

import { recipeBase } from "./model-path.js"
import { parseYaml } from "./yaml-text.js"

/** A recipe with its paths made absolute (they are written relative to the recipe's own folder). */
interface RecipeFile {
  readonly path: string
  readonly recipe: Recipe
}

/**
 * Reads YAML or JSON. FILE_UNREADABLE, or RECIPE_INVALID with the file, and the line of a syntax error or the path of a
 * wrong key.
 */
export async function loadRecipe(path: string): Promise<RecipeFile> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new LaminaError("FILE_UNREADABLE", `cannot read the recipe ${path}: ${cause.code ?? cause.message}`, {
      cause,
    })
  })
  const data = parseYaml(text, { path, code: "RECIPE_INVALID" })
  const recipe = await ofRecipe(path, () => withAbsolutePaths(parseRecipe(data), dirname(resolve(path))))
  return { path: resolve(path), recipe }
}

/** Runs `work` so that a RECIPE_INVALID of it names the recipe's file: a command may be given several. */
export async function ofRecipe<T>(path: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (!hasErrorCode(cause) || cause.code !== "RECIPE_INVALID") throw cause
    const { code, message, hint } = cause
    throw new LaminaError(code, `${path}: ${message}`, { cause, ...(hint === undefined ? {} : { hint }) })
  }
}

async function withAbsolutePaths(recipe: Recipe, folder: string): Promise<Recipe> {
  const { simulation } = recipe
  const clients = simulation?.clients?.map((client) => ({
    ...client,
    data: absolute(client.data, folder),
    ...(client.heldOut === undefined ? {} : { heldOut: absolute(client.heldOut, folder) }),
  }))
  const base = await recipeBase(recipe.base, folder)
  if (!simulation) return { ...recipe, base }
  const { population } = simulation
  const divided = population && { population: { ...population, data: absolute(population.data, folder) } }
  return { ...recipe, base, simulation: { ...simulation, ...(clients ? { clients } : {}), ...divided } }
}

function absolute(data: RecipeData, folder: string): RecipeData {
  if (typeof data === "string") return resolve(folder, data)
  return { ...data, path: resolve(folder, data.path) }
}
