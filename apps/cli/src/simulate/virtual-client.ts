import { LaminaError } from "@lamina/protocol/errors"
import { SimulatedDevice } from "@lamina/protocol/recipe"
import type { Recipe } from "@lamina/protocol/recipe"
import type { DataSource } from "@lamina/tuner"

import { dataOfRecipe } from "../data-options.js"
import { affordedBy } from "./afforded.js"
import type { Afforded } from "./afforded.js"
import { populate } from "./population.js"
import type { ClientRows } from "./population.js"

/** One client of a simulation, everything about it settled. */
export interface VirtualClient extends Afforded {
  readonly name: string
  readonly data: DataSource
  /** Scored after rounds. */
  readonly heldOut?: DataSource
  /** Its name in the recipe's `devices`; "default" without one. */
  readonly deviceName: string
  readonly device: SimulatedDevice
}

/** The clients of a recipe, named one by one or as a population over one data set, and who holds what of it. */
export async function virtualClients(
  recipe: Recipe,
  folder: string,
): Promise<{ clients: VirtualClient[]; population?: readonly ClientRows[] }> {
  if (recipe.simulation?.population === undefined) return { clients: namedClients(recipe) }
  const { clients, rows } = await populate(recipe, folder)
  return { clients: [...clients], population: rows }
}

/** The clients a recipe names one by one. Throws RECIPE_INVALID where it has none, or data that cannot be meant. */
export function namedClients(recipe: Recipe): VirtualClient[] {
  const { clients, devices = {} } = recipe.simulation ?? {}
  if (clients === undefined)
    throw new LaminaError("RECIPE_INVALID", "simulation.clients: expected a list of clients to simulate, got none")
  return clients.map(({ name, data, heldOut, rank, precision, device: deviceName = "default" }) => {
    const device = devices[deviceName] ?? SimulatedDevice.parse({})
    return {
      ...{ name, deviceName, device, data: dataOfRecipe(data) },
      ...(heldOut === undefined ? {} : { heldOut: dataOfRecipe(heldOut) }),
      ...affordedBy(recipe, device, { rank, precision }),
    }
  })
}
