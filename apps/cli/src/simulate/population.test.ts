import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { parseRecipe } from "@lamina/protocol/recipe"
import type { RecipeInput } from "@lamina/protocol/recipe"
import { loadDocuments } from "@lamina/tuner"

import { populate } from "./population.js"

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "population-"))
})
afterEach(() => rm(folder, { recursive: true }))

type PopulationInput = NonNullable<NonNullable<RecipeInput["simulation"]>["population"]>

/** 60 rows, food c, b, a in turn; every 10th has none. */
async function writeRows(): Promise<string> {
  const path = join(folder, "rows.csv")
  const rows = Array.from({ length: 60 }, (_, i) => {
    const mr = i % 10 === 9 ? "name[x]" : `name[x], food[${"cba"[i % 3]}]`
    return `"${mr}","sentence, number ${i}",${i}`
  })
  await writeFile(path, ["mr,ref,id", ...rows].join("\n"))
  return path
}

const recipeOf = (population: PopulationInput, seed = 1): ReturnType<typeof parseRecipe> =>
  parseRecipe({ name: "run", base: "base", seed, simulation: { population } })

const divided = async (population: Partial<PopulationInput>): Promise<PopulationInput> => ({
  count: 4,
  data: { path: await writeRows(), promptField: "mr", responseField: "ref" },
  ...population,
})

const linesOf = async (client: string, file: string, out = "out"): Promise<Record<string, unknown>[]> =>
  (await readFile(join(folder, out, client, file), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>)

test("rows keep all columns, every row is somebody's, a tenth is held out, and a client can read its own", async () => {
  const { clients } = await populate(recipeOf(await divided({})), join(folder, "out"))
  expect(clients.map(({ name }) => name)).toEqual(["client-001", "client-002", "client-003", "client-004"])
  const ids: string[] = []
  for (const { name } of clients) {
    const [train, heldOut] = [await linesOf(name, "train.jsonl"), await linesOf(name, "held-out.jsonl")]
    // 60 / 4 = 15 rows each, round(1.5) = 2 of them held out
    expect([train.length, heldOut.length]).toEqual([13, 2])
    ids.push(...[...train, ...heldOut].map((row) => String(row.id)))
  }
  expect(ids.map(Number).sort((left, right) => left - right)).toEqual(Array.from({ length: 60 }, (_, i) => i))
  expect(clients[0]?.data).toMatchObject({ kind: "jsonl", fields: { prompt: "mr", response: "ref" } })
  expect(clients[0]?.heldOut).toMatchObject({ kind: "jsonl", fields: { prompt: "mr", response: "ref" } })
})

test("the same seed writes the same bytes and leaves them untouched, another seed others", async () => {
  const population = await divided({ partition: { kind: "dirichlet", alpha: 0.5, key: "mr:food\\[([^\\]]*)\\]" } })
  await populate(recipeOf(population), join(folder, "out"))
  const path = join(folder, "out", "client-001", "train.jsonl")
  const [bytes, { mtimeMs, ino }] = [await readFile(path), await stat(path)]
  await populate(recipeOf(population), join(folder, "again"))
  expect(await readFile(join(folder, "again", "client-001", "train.jsonl"))).toEqual(bytes)
  await populate(recipeOf(population), join(folder, "out"))
  expect(await stat(path)).toMatchObject({ mtimeMs, ino })
  await populate(recipeOf(population, 2), join(folder, "out"))
  expect(await readFile(path)).not.toEqual(bytes)
})

test("natural clients have their key's name, and rows without a key are of the key none", async () => {
  const population = await divided({ count: 10, partition: { kind: "natural", key: "mr:food\\[([^\\]]*)\\]" } })
  const { rows } = await populate(recipeOf(population), join(folder, "out"))
  // of 20 rows of each food every 10th row, in turn food a, b, c (rows 9, 19, 29, ...), is without: 6 in all, 2 of each
  expect(rows.map(({ name, rowsByKey }) => [name, rowsByKey])).toEqual([
    ["a", { a: 18 }],
    ["b", { b: 18 }],
    ["c", { c: 18 }],
    ["none", { none: 6 }],
  ])
})

test("rowsMax, heldOutShare, ranks and devices are as the recipe says", async () => {
  const population = await divided({ rowsMax: 5, heldOutShare: 0, ranks: [16, 4], devices: ["phone", "laptop", "box"] })
  const recipe = parseRecipe({
    ...recipeOf(await divided({})),
    simulation: { population, devices: { phone: { rank: 2, precision: "q4" }, laptop: {}, box: {} } },
  })
  const { clients, rows } = await populate(recipe, join(folder, "out"))
  expect(rows.map(({ trainRows, heldOutRows }) => [trainRows, heldOutRows])).toEqual(Array(4).fill([5, 0]))
  expect(clients.map(({ rank, precision, deviceName, heldOut }) => [rank, precision, deviceName, heldOut])).toEqual([
    [16, "q4", "phone", undefined],
    [4, "q8", "laptop", undefined],
    [16, "q8", "box", undefined],
    [4, "q4", "phone", undefined],
  ])
})

test("texts become rows of one column, empty ones left out", async () => {
  const path = join(folder, "texts.txt")
  await writeFile(path, "one\n---\ntwo\n---\n\n---\nthree\n---\nfour")
  const data = { path, separator: "---" }
  const { clients } = await populate(recipeOf({ count: 2, data }), join(folder, "out"))
  const rows = await Promise.all(clients.map(({ name }) => linesOf(name, "train.jsonl")))
  const held = await Promise.all(clients.map(({ name }) => linesOf(name, "held-out.jsonl")))
  const texts = [...rows, ...held].flat().map(({ text }) => text)
  expect(texts.sort()).toEqual(["\nfour", "\nthree\n", "\ntwo\n", "one\n"])
  if (clients[0] === undefined) throw new Error("expected a client")
  await expect(loadDocuments(clients[0].data)).resolves.toHaveLength(1)
})

test.each([
  [{ count: 31 }, "count: expected at most 30 clients over 60 rows, got 31"],
  [{ rowsMax: 1 }, "rowsMax: expected at least 2, got 1"],
  [{ partition: { kind: "natural", key: "id" } }, "count: expected at most 0, the keys with 2 rows or more of 60 keys"],
  [{ partition: { kind: "natural", key: "food" } }, 'none by "food"; the first row has mr, ref, id'],
  [{ partition: { kind: "natural", key: "mr:(" } }, 'expected a regular expression behind the colon, got "("'],
  [{ partition: { kind: "natural", key: "mr:food" } }, 'expected a pattern with a group, which is the key, got "food"'],
] as const)("%j is refused with its numbers", async (population, message) => {
  const refused = populate(recipeOf(await divided(population as Partial<PopulationInput>)), join(folder, "out"))
  await expect(refused).rejects.toMatchObject({ code: "RECIPE_INVALID", message: expect.stringContaining(message) })
})
