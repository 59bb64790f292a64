import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"
import { SimulatedDevice } from "@lamina/protocol/recipe"
import type { Recipe } from "@lamina/protocol/recipe"
import type { DataSource } from "@lamina/tuner"

import { dataOfRecipe } from "../data-options.js"
import { counted } from "../output/counted.js"
import { readIfThere, writeText } from "../output/files.js"
import { makeFolder } from "../output/folder.js"
import { affordedBy } from "./afforded.js"
import { populationNames } from "./population-names.js"
import { keysBySize, partitionRows } from "./population-partition.js"
import { RandomStream } from "./population-random.js"
import { readPopulation } from "./population-rows.js"
import type { PopulationRow } from "./population-rows.js"
import type { VirtualClient } from "./virtual-client.js"

type PopulationRecipe = NonNullable<NonNullable<Recipe["simulation"]>["population"]>

/** How many rows of which key a client holds, training and held-out rows together. */
export interface ClientRows {
  readonly name: string
  readonly trainRows: number
  readonly heldOutRows: number
  readonly rowsByKey: Readonly<Record<string, number>>
}

/** A population and who holds what; both lists in the order of the clients' numbers. */
interface Population {
  readonly clients: readonly VirtualClient[]
  readonly rows: readonly ClientRows[]
}

/**
 * The clients of a recipe's `simulation.population`, their rows in `<folder>/<client>/train.jsonl` and, where a share
 * is held out, `held-out.jsonl`: the same bytes for the same recipe and data. Files that hold these already stay
 * untouched. Every client has at least one row of each kind; RECIPE_INVALID where that cannot be, or where there is no
 * population; USAGE, FILE_UNREADABLE, DATA_MALFORMED of the data; FILE_UNWRITABLE, STORAGE_FULL.
 */
export async function populate(recipe: Recipe, folder: string): Promise<Population> {
  const population = recipe.simulation?.population
  if (population === undefined)
    throw new LaminaError("RECIPE_INVALID", "simulation.population: expected a population to simulate, got none")
  const source = dataOfRecipe(population.data)
  const rows = await readPopulation(source, population.partition)
  const shares = divide(rows, population, recipe.seed)
  const clients: VirtualClient[] = []
  const counts: ClientRows[] = []
  for (const [i, { name, train, heldOut }] of shares.entries()) {
    const home = join(folder, name)
    await makeFolder(home)
    const data = await linesFile(join(home, "train.jsonl"), train, source)
    const scored =
      heldOut.length === 0 ? {} : { heldOut: await linesFile(join(home, "held-out.jsonl"), heldOut, source) }
    clients.push({ name, data, ...scored, ...machineOf(recipe, population, i) })
    counts.push({
      name,
      trainRows: train.length,
      heldOutRows: heldOut.length,
      rowsByKey: countKeys([...train, ...heldOut]),
    })
  }
  return { clients, rows: counts }
}

interface Share {
  readonly name: string
  readonly train: readonly PopulationRow[]
  readonly heldOut: readonly PopulationRow[]
}

/** Rows to clients: divided, then each client's own shuffled, cut to `rowsMax`, the last ones held out. */
function divide(rows: readonly PopulationRow[], population: PopulationRecipe, seed: number): Share[] {
  const { partition, heldOutShare, rowsMax = Infinity } = population
  const rowsMin = heldOutShare > 0 ? 2 : 1
  const keys = rows.map(({ key }) => key)
  expectEnough(population, keys, rowsMin)
  const division = partitionRows(partition, { keys, clients: population.count, seed, rowsMin })
  const names = populationNames(division.length, partition.kind === "natural" ? keysBySize(keys) : undefined)
  return division.map((numbers, i) => {
    const name = names[i] as string
    const shuffled = new RandomStream(seed, `population/client/${name}`).shuffled(numbers)
    const own = shuffled.slice(0, rowsMax).map((number) => rows[number] as PopulationRow)
    const held = heldOutShare === 0 ? 0 : Math.min(own.length - 1, Math.max(1, Math.round(heldOutShare * own.length)))
    return { name, train: own.slice(0, own.length - held), heldOut: own.slice(own.length - held) }
  })
}

function expectEnough({ partition, count, rowsMax }: PopulationRecipe, keys: readonly string[], rowsMin: number): void {
  const each = rowsMin === 2 ? "one row to train on and one held out" : "one row"
  const refuse = (key: string, expected: string, got: string): never => {
    throw new LaminaError("RECIPE_INVALID", `simulation.population.${key}: expected ${expected}, got ${got}`, {
      hint: `every client needs ${each}: take more rows, fewer clients, or heldOutShare: 0`,
    })
  }
  if (rowsMax !== undefined && rowsMax < rowsMin) refuse("rowsMax", `at least ${rowsMin}`, `${rowsMax}`)
  if (partition.kind !== "natural") {
    const most = Math.floor(keys.length / rowsMin)
    if (count > most)
      refuse("count", `at most ${counted(most, "client")} over ${counted(keys.length, "row")}`, `${count}`)
    return
  }
  if (keys.length === 0) refuse("data", "rows", "none")
  const sizes = new Map<string, number>()
  for (const key of keys) sizes.set(key, (sizes.get(key) ?? 0) + 1)
  const enough = [...sizes.values()].filter((size) => size >= rowsMin).length
  const wanted = Math.min(count, sizes.size)
  if (wanted > enough)
    refuse("count", `at most ${enough}, the keys with ${rowsMin} rows or more of ${sizes.size} keys`, `${count}`)
}

function machineOf(
  recipe: Recipe,
  { ranks, devices }: PopulationRecipe,
  client: number,
): Omit<VirtualClient, "name" | "data" | "heldOut"> {
  const deviceName = devices?.[client % devices.length] ?? "default"
  const device = recipe.simulation?.devices[deviceName] ?? SimulatedDevice.parse({})
  return { ...affordedBy(recipe, device, { rank: ranks?.[client % ranks.length] }), device, deviceName }
}

async function linesFile(path: string, rows: readonly PopulationRow[], source: DataSource): Promise<DataSource> {
  const text = rows.map(({ line }) => `${line}\n`).join("")
  if ((await readIfThere(path)) !== text) await writeText(path, text)
  const { fields, chatTemplate } = { fields: undefined, chatTemplate: undefined, ...source }
  return {
    ...{ kind: "jsonl", paths: [path] },
    ...(fields === undefined ? {} : { fields }),
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
  }
}

function countKeys(rows: readonly PopulationRow[]): Record<string, number> {
  const counts = new Map<string, number>()
  for (const { key } of rows) counts.set(key, (counts.get(key) ?? 0) + 1)
  return Object.fromEntries(counts)
}
