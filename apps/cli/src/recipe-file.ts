import { readFile } from "node:fs/promises"
import { dirname, resolve } from "node:path"

import { parse } from "yaml"

import { LaminaError } from "@lamina/protocol/errors"
import { parseRecipe } from "@lamina/protocol/recipe"
import type { Recipe, RecipeData } from "@lamina/protocol/recipe"

import { recipeBase } from "./model-path.js"

/** A recipe with its paths made absolute (they are written relative to the recipe's own folder). */
interface RecipeFile {
  readonly path: string
  readonly recipe: Recipe
}

/**
 * Reads YAML or JSON. FILE_UNREADABLE, or RECIPE_INVALID with the line of a syntax error or the path of a wrong key.
 */
export async function loadRecipe(path: string): Promise<RecipeFile> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new LaminaError("FILE_UNREADABLE", `cannot read the recipe ${path}: ${cause.code ?? cause.message}`, {
      cause,
    })
  })
  let data: unknown
  try {
    data = parse(text)
  } catch (cause) {
    throw new LaminaError(
      "RECIPE_INVALID",
      `${path} is not YAML: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  }
  return { path: resolve(path), recipe: await withAbsolutePaths(parseRecipe(data), dirname(resolve(path))) }
}

async function withAbsolutePaths(recipe: Recipe, folder: string): Promise<Recipe> {
  const { simulation } = recipe
  const clients = simulation?.clients?.map((client) => ({
    ...client,
    data: absolute(client.data, folder),
    ...(client.heldOut === undefined ? {} : { heldOut: absolute(client.heldOut, folder) }),
  }))
  const population = simulation?.population && {
    ...simulation.population,
    data: absolute(simulation.population.data, folder),
  }
  const base = await recipeBase(recipe.base, folder)
  if (simulation === undefined) return { ...recipe, base }
  const given = { ...(clients ? { clients } : {}), ...(population ? { population } : {}) }
  return { ...recipe, base, simulation: { ...simulation, ...given } }
}

function absolute(data: RecipeData, folder: string): RecipeData {
  if (typeof data === "string") return resolve(folder, data)
  return { ...data, path: resolve(folder, data.path) }
}
