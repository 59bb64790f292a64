import { mkdtemp, readFile, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { dequantize, initKernels, nativeAvailable } from "@lamina/kernels"
import type { Adapter, ScalingRule } from "@lamina/protocol"

import type { Base } from "../api.js"
import { openGguf } from "../gguf/gguf-file.js"
import { foldAdapters } from "../model/lora.js"
import { readPeftAdapter } from "../peft/read-adapter.js"
import { loadBase } from "../weights/load-base.js"
import { writeGgufAdapter } from "./gguf-adapter.js"
import { writeMergedModel } from "./merged-model.js"

const random = fileURLToPath(new URL("../../../../test/vectors/model/random/", import.meta.url))

let folder = ""
let base: Base
let adapter: Adapter
beforeAll(async () => {
  await initKernels({ backend: nativeAvailable() ? "native" : "cpu" })
  folder = await mkdtemp(join(tmpdir(), "lamina-export-"))
  base = await loadBase(random, { precision: "stored" })
  adapter = await readPeftAdapter(join(random, "adapter"))
})
afterAll(() => rm(folder, { recursive: true }))

async function factors(path: string): Promise<{ read: (name: string) => Promise<Float32Array>; alpha: unknown }> {
  const file = await openGguf(path)
  const read = async (name: string): Promise<Float32Array> => new Float32Array((await file.readPlain(name)).buffer)
  return { read, alpha: file.metadata.get("adapter.lora.alpha") }
}

test("a GGUF adapter has llama.cpp's names, alpha and row order", async () => {
  const path = join(folder, "adapter.gguf")
  await writeGgufAdapter(path, adapter, { config: base.config, name: "random" })
  const { read, alpha } = await factors(path)
  const module = adapter.modules.find(({ name }) => name === "model.layers.1.self_attn.k_proj")
  if (module === undefined) throw new Error("no module")
  expect(alpha).toBe(module.alpha)
  expect(await read("blk.1.attn_k.weight.lora_a")).toEqual(module.a)
  // head of 16: rows 0, 1, 2 of the file are rows 0, 8, 1 of transformers'
  const stored = await read("blk.1.attn_k.weight.lora_b")
  const row = (values: Float32Array, i: number): number[] => [...values.slice(i * module.rank, (i + 1) * module.rank)]
  expect([0, 1, 2, 17].map((i) => row(stored, i))).toEqual([0, 8, 1, 24].map((i) => row(module.b, i)))
  const down = adapter.modules.find(({ name }) => name === "model.layers.0.mlp.down_proj")
  expect(await read("blk.0.ffn_down.weight.lora_b")).toEqual(down?.b)
})

test("where a file's one alpha is not a module's, B makes up for it", async () => {
  const [first] = adapter.modules as [Adapter["modules"][number]]
  const second = adapter.modules.find(({ name }) => name === "model.layers.0.mlp.down_proj") ?? first
  const scaling: ScalingRule = "rslora"
  const mixed = { modules: [first, { ...second, alpha: 3, scaling }] }
  const path = join(folder, "mixed.gguf")
  await writeGgufAdapter(path, mixed, { config: base.config, name: "random" })
  const { read, alpha } = await factors(path)
  const stored = await read("blk.0.ffn_down.weight.lora_b")
  // llama.cpp multiplies by alpha / rank, which must come to 3 / sqrt(rank)
  const scale = Number(alpha) / second.rank
  expect((stored[0] ?? 0) * scale).toBeCloseTo(((second.b[0] ?? 0) * 3) / Math.sqrt(second.rank), 6)
})

test.each<[string, Partial<Adapter["modules"][number]>]>([
  ["the base has no such linear layer", { name: "model.layers.0.mixer.in_proj" }],
  ["the base has no such linear layer", { name: "model.layers.2.mlp.down_proj" }],
  ["expected 64 x 96 (out x in) as in the base, got 80 x 96", { outFeatures: 80, b: new Float32Array(80 * 4) }],
  ["expected A of 384 and B of 256 values, got 384 and 5", { b: new Float32Array(5) }],
])("a GGUF adapter of another base is refused: %s", async (message, change) => {
  const module = adapter.modules.find(({ name }) => name === "model.layers.0.mlp.down_proj")
  if (module === undefined) throw new Error("no module")
  const name = change.name ?? module.name
  const strange = { modules: [{ ...module, ...change }] }
  await expect(
    writeGgufAdapter(join(folder, "x.gguf"), strange, { config: base.config, name: "random" }),
  ).rejects.toMatchObject({ code: "ADAPTER_MISMATCH", message: `module ${name}: ${message}` })
})

test("a merged model is the base plus B A, in one file or in several", async () => {
  const name = "model.layers.1.mlp.up_proj"
  const term = foldAdapters(base, [adapter])[name]
  const weight = base.linears[name]
  if (term === undefined || weight === undefined) throw new Error("no module")
  const expected = dequantize(weight)
  for (let row = 0; row < weight.rows; row++)
    for (let col = 0; col < weight.cols; col++)
      for (let r = 0; r < term.rank; r++)
        expected[row * weight.cols + col]! += term.b[row * term.rank + r]! * term.a[r * weight.cols + col]!
  const whole = join(folder, "whole")
  await writeMergedModel(base, [adapter], { folder: whole, type: "f32" })
  const merged = await loadBase(whole, { precision: "stored" })
  const got = dequantize(merged.linears[name] ?? weight)
  // rank 4 sums in another order: some units in the last place of values below 1
  expect(Math.max(...got.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(4 * 2 ** -24)
  expect(merged.norms).toEqual(base.norms)
  const parts = join(folder, "parts")
  await writeMergedModel(base, [adapter], { folder: parts, type: "f32", shardBytes: 40_000 })
  const index = JSON.parse(await readFile(join(parts, "model.safetensors.index.json"), "utf8")) as {
    weight_map: Record<string, string>
  }
  expect(new Set(Object.values(index.weight_map)).size).toBeGreaterThan(2)
  expect((await loadBase(parts, { precision: "stored" })).linears).toEqual(merged.linears)
})

test("a merged model in 16 bits is rounded once, and says what it is in", async () => {
  const out = join(folder, "half")
  await writeMergedModel(base, [], { folder: out, type: "f16" })
  const half = await loadBase(out, { precision: "stored" })
  const name = "model.layers.0.mlp.up_proj"
  expect(half.linears[name]?.format).toBe("f16")
  expect(JSON.parse(await readFile(join(out, "config.json"), "utf8"))).toMatchObject({ dtype: "float16" })
  const [got, exact] = [half.linears[name], base.linears[name]].map((weight) => weight && dequantize(weight))
  // half floats have 11 bits: half a unit in the last place of values below 1 is 2^-12
  expect(Math.max(...(got ?? []).map((value, i) => Math.abs(value - (exact?.[i] ?? NaN))))).toBeLessThan(2 ** -12)
})

test("a merged model goes to a new or empty folder, never over another model or its own base", async () => {
  const link = join(folder, "link")
  await symlink(random, link)
  for (const taken of [random, link, folder])
    await expect(writeMergedModel(base, [], { folder: taken, type: "f16" })).rejects.toMatchObject({
      code: "FILE_UNWRITABLE",
      message: expect.stringContaining("expected a new or empty folder"),
    })
})

test.each(["f16", "bf16"] as const)("a value that does not fit %s is refused by its tensor", async (type) => {
  const [name = "", norm = new Float32Array(1)] = Object.entries(base.norms)[0] ?? []
  const large = { ...base, norms: { ...base.norms, [name]: norm.map(() => 3.4e38) } }
  await expect(writeMergedModel(large, [], { folder: join(folder, `large-${type}`), type })).rejects.toMatchObject({
    code: "WEIGHTS_MALFORMED",
    message: `${name}.weight: expected values that fit ${type}, got ${Math.fround(3.4e38)}`,
  })
})

test.each(["qwen2", "qwen3", "mistral"])("a merged model has all of its family's vectors (%s)", async (family) => {
  const source = await loadBase(join(random, "../families", family), { precision: "f32" })
  const out = join(folder, family)
  await writeMergedModel(source, [], { folder: out, type: "f32" })
  const merged = await loadBase(out, { precision: "stored" })
  expect(merged.config).toEqual(source.config)
  expect(merged.linears).toEqual(source.linears)
  expect(merged.norms).toEqual(source.norms)
  expect(merged.biases).toEqual(source.biases)
  if (family === "qwen2") expect(Object.keys(merged.biases).length).toBeGreaterThan(0)
})
