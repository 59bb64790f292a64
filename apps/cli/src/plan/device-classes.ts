import type { DeviceProfile } from "@lamina/planner"
import { LaminaError } from "@lamina/protocol/errors"
import { SimulatedDevice } from "@lamina/protocol/recipe"
import type { Recipe } from "@lamina/protocol/recipe"

import { profileOf } from "./device-profile.js"

/** Simulated clients that are alike to the planner. */
export interface DeviceClass {
  /** A name in the recipe's `devices`; "default" without one. */
  readonly device: string
  /** By name where the recipe names them. */
  readonly clients: readonly string[]
  readonly count: number
  readonly profile: DeviceProfile
}

/**
 * The clients of a recipe's simulation by device, rank and precision, in the order of the first of each. RECIPE_INVALID
 * for a recipe without a simulation.
 */
export function deviceClasses({ simulation }: Recipe): DeviceClass[] {
  if (simulation === undefined)
    throw new LaminaError("RECIPE_INVALID", "simulation: expected clients or a population to plan for, got none")
  const { clients, population, devices } = simulation
  const one = (name: string | undefined, own: Parameters<typeof profileOf>[1]): Omit<DeviceClass, "clients"> => {
    const known = name === undefined ? undefined : devices[name]
    return { device: name ?? "default", count: 1, profile: profileOf(known ?? SimulatedDevice.parse({}), own) }
  }
  const named = (clients ?? []).map(({ name, device, rank, precision }) => {
    return { ...one(device, { rank, precision }), clients: [name] }
  })
  const counted = Array.from({ length: population?.count ?? 0 }, (_, i) => {
    return { ...one(cycled(population?.devices, i), { rank: cycled(population?.ranks, i) }), clients: [] }
  })
  const classes = new Map<string, DeviceClass>()
  for (const client of [...named, ...counted]) {
    const key = JSON.stringify([client.device, client.profile])
    const known = classes.get(key)
    classes.set(
      key,
      known
        ? { ...known, clients: [...known.clients, ...client.clients], count: known.count + 1 }
        : { ...client, count: 1 },
    )
  }
  return [...classes.values()]
}

/** Element i of a list that starts again at its end. */
function cycled<T>(list: readonly T[] | undefined, i: number): T | undefined {
  return list?.[i % list.length]
}
