import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { loadRecipe } from "./recipe-file.js"

const folder = mkdtempSync(join(tmpdir(), "lamina-recipe-"))

function file(text: string): string {
  const path = join(folder, `${Math.abs(text.length)}.yaml`)
  writeFileSync(path, text)
  return path
}

test("paths of a recipe are relative to the recipe's own folder", async () => {
  const { recipe } = await loadRecipe(
    file("name: a\nbase: ../base\nsimulation: {clients: [{name: one, data: d.txt}]}\n"),
  )
  expect(recipe.base).toBe(join(folder, "../base"))
  expect(recipe.simulation?.clients?.[0]?.data).toBe(join(folder, "d.txt"))
})

test("the data of a client may be a file and its columns", async () => {
  const { recipe } = await loadRecipe(
    file(
      "name: a\nbase: b\nsimulation: {clients: [{name: one, " +
        "data: {path: d.csv, promptField: mr, responseField: ref}}]}",
    ),
  )
  const data = { path: join(folder, "d.csv"), promptField: "mr", responseField: "ref" }
  expect(recipe.simulation?.clients?.[0]?.data).toEqual(data)
})

test("the data of a population is relative too", async () => {
  const { recipe } = await loadRecipe(file("name: a\nbase: b\nsimulation: {population: {count: 2, data: all.jsonl}}\n"))
  expect(recipe.simulation?.population?.data).toBe(join(folder, "all.jsonl"))
})

test("an unknown key is refused with its path", async () => {
  await expect(loadRecipe(file("name: a\nbase: b\ntraining: {stepz: 3}\n"))).rejects.toMatchObject({
    code: "RECIPE_INVALID",
    message: expect.stringMatching(/training.*stepz/),
  })
})

test("a value out of bounds says what was expected and what came", async () => {
  await expect(loadRecipe(file("name: a\nbase: b\nrounds: -4\n"))).rejects.toMatchObject({
    code: "RECIPE_INVALID",
    message: expect.stringMatching(/rounds.*1.*-4/),
  })
})

test("what is wrong with a recipe is told with its file, once", async () => {
  const path = file("name: a\nbase: b\nrounds: -4\nseed: x\n")
  await expect(loadRecipe(path)).rejects.toMatchObject({
    hint: "docs/recipes.md lists every key with its bounds",
    message: expect.stringMatching(/^\S*\.yaml: rounds: .*\nseed: [^/]*$/),
  })
})

test("a file that is not YAML and a file that is not there are told apart", async () => {
  await expect(loadRecipe(file("a: [1,\n"))).rejects.toMatchObject({ code: "RECIPE_INVALID" })
  await expect(loadRecipe(file("a: [1,\n"))).rejects.toMatchObject({
    message: expect.stringMatching(/\.yaml is not YAML: .* at line 2, column 1$/),
  })
  await expect(loadRecipe(join(folder, "none.yaml"))).rejects.toMatchObject({ code: "FILE_UNREADABLE" })
})
