import { fileURLToPath } from "node:url"

import { trainingJob } from "./train-job.js"
import type { TrainOptions } from "./train-options.js"

const root = fileURLToPath(new URL("../../../..", import.meta.url))
const model = `${root}test/vectors/model/families/gpt2`
const options = { data: [`${root}examples/data/held-out.txt`], out: "runs/x", rank: 2 } as unknown as TrainOptions
const linears = async (given: Partial<TrainOptions>): Promise<string[]> => {
  const { modules } = await trainingJob({ model, options: { ...options, ...given, precision: "stored" } })
  return [...new Set(modules.map(({ name }) => name.split(".").at(-1) ?? ""))]
}

test("every linear of a block gets an adapter where none is named, by the names of the architecture", async () => {
  expect(await linears({})).toEqual(["c_attn", "c_proj", "c_fc"])
  expect(await linears({ targetModules: ["all-linear"] })).toEqual(["c_attn", "c_proj", "c_fc"])
  expect(await linears({ targetModules: ["c_fc"] })).toEqual(["c_fc"])
})
