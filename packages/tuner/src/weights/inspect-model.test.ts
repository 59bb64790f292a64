import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { openCheckpoint } from "./checkpoint-files.js"
import { inspectModel } from "./inspect-model.js"
import { loadBase } from "./load-base.js"
import type { TensorType } from "./safetensors-header.js"
import { writeSafetensors } from "./safetensors-write.js"
import type { TensorData } from "./safetensors-write.js"

const random = fileURLToPath(new URL("../../../../test/vectors/model/random/", import.meta.url))
const tiny = fileURLToPath(new URL("../../../../models/tiny/", import.meta.url))
const WITH = { rank: 4, tokens: 100 }

let folder = ""
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-inspect-"))))
afterEach(() => rm(folder, { recursive: true }))

test("parameters and tensors of a plain model are counted", async () => {
  const report = await inspectModel(random, WITH)
  // 128 * 64 (embedding) + 2 * (64*64*2 + 32*64*2 + 3*96*64) (linears) + 5 * 64 (norms)
  expect(report.parameters).toBe(8192 + 2 * (8192 + 4096 + 18432) + 320)
  expect(report.bytes).toBe(4 * report.parameters)
  expect(report.tensors.find(({ name }) => name === "model.norm.weight")).toEqual({
    ...{ name: "model.norm.weight", dtype: "F32", shape: [64], bytes: 256 },
  })
  expect(report).toMatchObject({ kind: "transformers", architecture: "llama", problem: undefined })
})

test("tensors that nothing is computed with are no parameters", async () => {
  const gpt2 = fileURLToPath(new URL("../../../../test/vectors/model/families/gpt2/", import.meta.url))
  await cp(gpt2, folder, { recursive: true })
  const plain = await inspectModel(folder, WITH)
  expect(plain.bytes).toBe(2 * plain.parameters)
  const store = await openCheckpoint(gpt2)
  const stored = await Promise.all(
    [...store.tensors].map(async ([name, { dtype, shape }]): Promise<[string, TensorData]> => {
      return [name, { dtype: dtype as TensorType, shape, data: await store.read(name) }]
    }),
  )
  await store.close()
  const [, embed] = stored.find(([name]) => name === "transformer.wte.weight")!
  const mask = { dtype: "F32" as const, shape: [1, 1, 8, 8], data: new Float32Array(64) }
  const extra = { "transformer.h.0.attn.bias": mask, "lm_head.weight": embed }
  await writeSafetensors(join(folder, "model.safetensors"), new Map([...stored, ...Object.entries(extra)]), {})
  const { parameters, bytes, problem } = await inspectModel(folder, WITH)
  expect({ parameters, problem }).toEqual({ parameters: plain.parameters, problem: undefined })
  expect(bytes).toBeGreaterThan(plain.bytes + 4 * 64)
})

test("no tokenizer is no problem, one that cannot be read is", async () => {
  await cp(tiny, folder, { recursive: true })
  await writeFile(join(folder, "tokenizer.json"), "{")
  const broken = await inspectModel(folder, WITH)
  expect(broken.problem).toMatch(/tokenizer\.json: expected JSON/)
  expect(broken).toMatchObject({ tokens: undefined, config: { layers: 6 } })
  await rm(join(folder, "tokenizer.json"))
  expect(await inspectModel(folder, WITH)).toMatchObject({ tokens: undefined, problem: undefined })
  await writeFile(join(folder, "tokenizer_config.json"), '{"chat_template":5}')
  expect((await inspectModel(folder, WITH)).problem).toMatch(/chat_template: expected text/)
})

test("a quantized model has the parameters that it stands for, and the tokens of its tokenizer", async () => {
  const report = await inspectModel(tiny, WITH)
  // 4096 * 192 + 6 * (192*192*2 + 96*192*2 + 3*512*192) + 13 * 192
  expect(report.parameters).toBe(786_432 + 6 * (73_728 + 36_864 + 294_912) + 2_496)
  expect(report.tokens).toBe(4096)
  expect(report.chatTemplate).toBe(false)
})

test.each(["stored", "f32", "bf16", "f16", "q8", "q4", "nf4"] as const)(
  "memory held as %s is what loading takes",
  async (precision) => {
    const { memory, config } = await inspectModel(tiny, WITH)
    const base = await loadBase(tiny, { precision })
    const norms = Object.values(base.norms).reduce((sum, norm) => sum + norm.byteLength, 0)
    expect(config).toEqual(base.config)
    expect(memory?.hold[precision]).toBe(base.bytes - norms)
  },
)

test("training takes four f32 for each number of the adapter", async () => {
  const { memory } = await inspectModel(random, WITH)
  // rank 4 on both sides of q and o (64+64), k and v (32+64), gate, up and down (96+64), in 2 layers
  const parameters = 4 * 2 * (2 * 128 + 2 * 96 + 3 * 160)
  expect(memory?.train).toMatchObject({ rank: 4, tokens: 100, parameters, adapter: 16 * parameters })
})

test("a model of an architecture that is not built is described with the reason", async () => {
  await cp(random, folder, { recursive: true })
  const config = JSON.parse(await readFile(join(folder, "config.json"), "utf8"))
  await writeFile(
    join(folder, "config.json"),
    JSON.stringify({ ...config, architectures: ["MambaForCausalLM"], model_type: "mamba" }),
  )
  const report = await inspectModel(folder, WITH)
  expect(report).toMatchObject({ architecture: "mamba", config: undefined, memory: undefined })
  expect(report.problem).toContain('got "mamba"')
  expect(report.parameters).toBe((await inspectModel(random, WITH)).parameters)
})
