import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PassThrough } from "node:stream"

import { parseRecipe } from "@lamina/protocol/recipe"

import { federationView } from "../output/progress.js"
import { openPool } from "../pool.js"
import { simulate } from "./simulation.js"

test("a natural population of fewer keys says how many, and a buffer they cannot fill is refused", async () => {
  const out = await mkdtemp(join(tmpdir(), "simulation-"))
  const data = join(out, "rows.csv")
  await writeFile(
    data,
    ["text,food", ...Array.from({ length: 12 }, (_, i) => `sentence ${i},${"abc"[i % 3]}`)].join("\n"),
  )
  const population = { count: 8, data: { path: data, textField: "text" }, partition: { kind: "natural", key: "food" } }
  const recipe = parseRecipe({ name: "r", base: "base", cohort: { buffer: { size: 4 } }, simulation: { population } })
  const stream = new PassThrough() as unknown as NodeJS.WriteStream
  const pool = await openPool({ workers: 1, threads: 1, backend: "cpu" })
  const { signal } = new AbortController()
  await expect(simulate({ recipe, out, pool, view: federationView(stream), signal })).rejects.toMatchObject({
    code: "RECIPE_INVALID",
    message: expect.stringMatching(/at most 3 clients to be needed .*got 4$/),
  })
  expect(String(stream.read())).toBe("population: 3 clients of 8, one for each key that the data has\n")
  expect(await readdir(out)).not.toContain("coordinator")
  await pool.close()
  await rm(out, { recursive: true })
})
