import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { adapterPath, modelPath, recipeBase } from "./model-path.js"

let models: string
const commit = "0123456789abcdef0123456789abcdef01234567"

beforeEach(async () => {
  models = await mkdtemp(join(tmpdir(), "lamina-models-"))
})
afterEach(() => rm(models, { recursive: true }))

/** A repository as a pull leaves it. */
async function pulled(repo: string, files: readonly string[], revision = "main"): Promise<string> {
  const root = join(models, `models--${repo.replace("/", "--")}`)
  const folder = join(root, "snapshots", commit)
  for (const file of files) {
    await mkdir(join(folder, file, ".."), { recursive: true })
    await writeFile(join(folder, file), "")
  }
  await mkdir(join(root, "refs"), { recursive: true })
  await writeFile(join(root, "refs", revision), commit)
  return folder
}

test("a path that is there is the model, whatever it looks like", async () => {
  expect(await modelPath(models, models)).toBe(models)
})

test("org/repo is the folder that was pulled, and using it is noted", async () => {
  const folder = await pulled("org/repo", ["config.json"])
  expect(await modelPath("org/repo", models)).toBe(folder)
  expect((await stat(join(models, "models--org--repo", "used"))).isFile()).toBe(true)
})

test("a revision or a commit after @ picks another snapshot", async () => {
  const folder = await pulled("org/repo", ["config.json"], "v1")
  expect(await modelPath("org/repo@v1", models)).toBe(folder)
  expect(await modelPath(`org/repo@${commit}`, models)).toBe(folder)
  await expect(modelPath("org/repo", models)).rejects.toMatchObject({ code: "NOT_FOUND" })
})

test("a quantization after the colon is the GGUF file that has it as a word of its name", async () => {
  const folder = await pulled("org/repo", ["m-Q4_K_M.gguf", "m-Q4_K.gguf", "m.q8_0.gguf"])
  expect(await modelPath("org/repo:Q4_K", models)).toBe(join(folder, "m-Q4_K.gguf"))
  expect(await modelPath("org/repo:Q8_0", models)).toBe(join(folder, "m.q8_0.gguf"))
  expect(await modelPath("org/repo:m-Q4_K_M.gguf", models)).toBe(join(folder, "m-Q4_K_M.gguf"))
})

test("a file that was not pulled is an error that says how to get it", async () => {
  await pulled("org/repo", ["m-Q4_K_M.gguf"])
  await expect(modelPath("org/repo:Q6_K", models)).rejects.toMatchObject({
    code: "NOT_FOUND",
    message: "org/repo:Q6_K: pulled were m-Q4_K_M.gguf",
    hint: "lamina model pull org/repo:Q6_K",
  })
})

test("two files that fit are an error that names both", async () => {
  await pulled("org/repo", ["a-Q8_0.gguf", "b-Q8_0.gguf"])
  await expect(modelPath("org/repo:Q8_0", models)).rejects.toMatchObject({
    code: "USAGE",
    message: expect.stringContaining("a-Q8_0.gguf, b-Q8_0.gguf"),
  })
})

test("a model that was not pulled is an error with the command that pulls it", async () => {
  await expect(modelPath("org/other", models)).rejects.toMatchObject({
    code: "NOT_FOUND",
    hint: "lamina model pull org/other",
  })
})

test("neither a path nor a model's name is an error, also where it would lead out of the cache", async () => {
  for (const model of ["./nothing", "/no/such/folder", "org/..", "org/repo@../x", "a/b/c", "org/repo:../x"])
    await expect(modelPath(model, models)).rejects.toMatchObject({ code: "FILE_UNREADABLE" })
})

test("an adapter is a folder or the name of one that was pulled", async () => {
  const folder = await pulled("org/adapter", ["adapter_config.json"])
  expect(await adapterPath("org/adapter", models)).toBe(folder)
  expect(await adapterPath(models, models)).toBe(models)
  await expect(adapterPath("./nothing", models)).rejects.toMatchObject({
    message: "./nothing: expected a PEFT adapter's folder, found none",
    hint: expect.stringContaining("org/repo"),
  })
})

test("a recipe's base is a path from the recipe's folder, else a model that was pulled", async () => {
  const folder = await pulled("org/repo", ["config.json"])
  expect(await recipeBase("org/repo", models, models)).toBe(folder)
  await mkdir(join(models, "org/repo"), { recursive: true })
  expect(await recipeBase("org/repo", models, models)).toBe(join(models, "org/repo"))
  expect(await recipeBase("../base", join(models, "x"), models)).toBe(join(models, "base"))
  await expect(recipeBase("org/other", models, models)).rejects.toMatchObject({
    hint: "lamina model pull org/other",
  })
})
