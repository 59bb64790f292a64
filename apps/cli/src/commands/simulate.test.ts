import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { simulateCommand } from "./simulate.js"

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "simulate-"))
})
afterEach(() => rm(folder, { recursive: true }))

const SIMULATION = "simulation: { clients: [{ name: a, data: a.txt }] }"

/** A recipe whose base is a folder without a model: the error of a run that started would be about that. */
async function writeRecipe(name: string, simulation = SIMULATION): Promise<string> {
  await mkdir(join(folder, "base"), { recursive: true })
  const path = join(folder, name)
  await writeFile(path, `name: run\nbase: base\n${simulation}\n`)
  return path
}

const simulated = (...recipes: readonly string[]) =>
  simulateCommand(recipes, { out: join(folder, "out"), backend: "cpu", workers: 1 })

test("a recipe without a simulation is refused before any of the others runs", async () => {
  const recipes = [await writeRecipe("one.yaml"), await writeRecipe("two.yaml", "")]
  await expect(simulated(...recipes)).rejects.toMatchObject({
    code: "RECIPE_INVALID",
    message: `simulation: expected clients or a population to simulate, got none in ${recipes[1]}`,
  })
  expect(await readdir(folder)).not.toContain("out")
})

test("recipes whose names are one as a file's are refused before any of them runs", async () => {
  const recipes = [await writeRecipe("a b.yaml"), await writeRecipe("a-b.yaml"), await writeRecipe("c.yaml")]
  await expect(simulated(...recipes)).rejects.toMatchObject({
    code: "USAGE",
    message: "expected recipes of unlike file names, got a b, a-b",
  })
  expect(await readdir(folder)).not.toContain("out")
})

test("a context longer than the base's is refused before any of the others runs, with the file", async () => {
  const base = fileURLToPath(new URL("../../../../models/tiny", import.meta.url))
  const write = async (name: string, context: number): Promise<string> => {
    const path = join(folder, name)
    await writeFile(path, `name: run\nbase: ${base}\ntraining: { context: ${context} }\n${SIMULATION}\n`)
    return path
  }
  const recipes = [await write("one.yaml", 128), await write("two.yaml", 131_072)]
  await expect(simulated(...recipes)).rejects.toMatchObject({
    code: "RECIPE_INVALID",
    message: expect.stringMatching(/^\S*two\.yaml: training\.context: expected at most \d+, .*got 131072$/),
  })
  expect(await readdir(folder)).not.toContain("out")
})
