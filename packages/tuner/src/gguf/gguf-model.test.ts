import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { dequantize } from "@lamina/kernels"

import { loadBase } from "../weights/load-base.js"
import { readModelConfig } from "../weights/model-config.js"
import { openModelFiles } from "../weights/model-files.js"
import { GGUF_ARCHITECTURES, ggufName } from "./architectures.js"
import { quantizeModel } from "../weights/quantize-model.js"
import { encodeGguf } from "./encode-gguf.js"
import type { GgufData, GgufEntry } from "./encode-gguf.js"

/** A Llama of one layer: 8 wide, 2 heads of 4 on 1, every value of a tensor its row number. */
const METADATA: Readonly<Record<string, GgufEntry>> = {
  "general.architecture": { string: "llama" },
  "llama.block_count": { u32: 1 },
  "llama.context_length": { u32: 64 },
  "llama.embedding_length": { u32: 8 },
  "llama.feed_forward_length": { u32: 12 },
  "llama.attention.head_count": { u32: 2 },
  "llama.attention.head_count_kv": { u32: 1 },
  "llama.attention.layer_norm_rms_epsilon": { f32: 1e-5 },
  "llama.rope.freq_base": { f32: 10_000 },
  "tokenizer.ggml.eos_token_id": { u32: 2 },
}
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  "token_embd.weight": [16, 8],
  "output_norm.weight": [8],
  "blk.0.attn_norm.weight": [8],
  "blk.0.ffn_norm.weight": [8],
  "blk.0.attn_q.weight": [8, 8],
  "blk.0.attn_k.weight": [4, 8],
  "blk.0.attn_v.weight": [4, 8],
  "blk.0.attn_output.weight": [8, 8],
  "blk.0.ffn_gate.weight": [12, 8],
  "blk.0.ffn_up.weight": [12, 8],
  "blk.0.ffn_down.weight": [8, 12],
}

let folder = ""
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-gguf-model-"))))
afterAll(() => rm(folder, { recursive: true }))

function rowNumbers(shape: readonly number[]): GgufData {
  const cols = shape.length === 1 ? 1 : (shape[1] ?? 1)
  const data = Float32Array.from({ length: (shape[0] ?? 1) * cols }, (_, i) => Math.floor(i / cols))
  return { type: 0, shape, data }
}

async function write(
  changes: {
    metadata?: Record<string, GgufEntry>
    without?: readonly string[]
    tensors?: Record<string, GgufData>
  } = {},
): Promise<string> {
  const metadata = Object.entries({ ...METADATA, ...changes.metadata }).filter(
    ([key]) => !(changes.without ?? []).includes(key),
  )
  const plain = Object.entries(SHAPES).map(([name, shape]): [string, GgufData] => [name, rowNumbers(shape)])
  const tensors = new Map([...plain, ...Object.entries(changes.tensors ?? {})])
  const path = join(folder, "model.gguf")
  await writeFile(path, Buffer.concat(encodeGguf(Object.fromEntries(metadata), tensors)))
  return path
}

test("a file becomes the config and the tensors that transformers would have", async () => {
  const base = await loadBase(await write(), { precision: "stored" })
  expect(base.config).toEqual({
    architecture: "llama",
    ...{ hidden: 8, layers: 1, heads: 2, kvHeads: 1, headDim: 4, ffn: 12, vocabulary: 16, context: 64 },
    ...{ normEps: 1e-5, rope: { theta: 10_000 }, tiedHead: true, biases: [] },
  })
  const rows = (name: string): number[] => {
    const weight = base.linears[name]
    if (weight === undefined) throw new Error(`no ${name}`)
    return [...dequantize(weight)].filter((_, i) => i % weight.cols === 0)
  }
  // stored rows 0..3 of a head of 4 are its rows 0, 2, 1, 3: the pairs that are rotated together lie side by side
  expect(rows("model.layers.0.self_attn.q_proj")).toEqual([0, 2, 1, 3, 4, 6, 5, 7])
  expect(rows("model.layers.0.self_attn.k_proj")).toEqual([0, 2, 1, 3])
  expect(rows("model.layers.0.self_attn.v_proj")).toEqual([0, 1, 2, 3])
  expect(rows("model.layers.0.mlp.gate_proj")).toEqual([...Array(12).keys()])
  expect([...(base.norms["model.layers.0.post_attention_layernorm"] ?? [])]).toEqual([...Array(8).keys()])
})

test("a folder with one GGUF file is that model, one with several is refused with their names", async () => {
  await write()
  expect((await readModelConfig(folder)).hidden).toBe(8)
  await writeFile(join(folder, "other.gguf"), "")
  await expect(readModelConfig(folder)).rejects.toMatchObject({
    code: "MODEL_UNSUPPORTED",
    message: expect.stringContaining("model.gguf, other.gguf") as string,
  })
  await rm(join(folder, "other.gguf"))
})

const config = async (path: string): Promise<Record<string, unknown>> => {
  const files = await openModelFiles(path)
  try {
    return await files.config()
  } finally {
    await files.close()
  }
}

test("a head of its own is not tied, and its rows are the vocabulary's", async () => {
  const path = await write({ tensors: { "output.weight": rowNumbers([16, 8]) } })
  expect(await config(path)).toMatchObject({ tie_word_embeddings: false, vocab_size: 16 })
})

test("Llama 3's RoPE scaling is known again by its divisors", async () => {
  // head of 4: wave lengths 2 pi and 200 pi with theta 10,000, both shorter than 8192 / 4: divisors 1 and 1, factor 1;
  // with theta 1e10 the second is 2 pi 1e5 tokens, longer than 8192: divided by the factor
  const divisors = { type: 0, shape: [2], data: Float32Array.of(1, 32) }
  const metadata = { "llama.rope.freq_base": { f32: 1e10 } }
  expect(await config(await write({ metadata, tensors: { "rope_freqs.weight": divisors } }))).toMatchObject({
    rope_scaling: { rope_type: "llama3", factor: 32, low_freq_factor: 1, high_freq_factor: 4 },
  })
  const others = { ...divisors, data: Float32Array.of(2, 32) }
  await expect(write({ metadata, tensors: { "rope_freqs.weight": others } }).then(config)).rejects.toMatchObject({
    code: "MODEL_UNSUPPORTED",
    message: expect.stringContaining("rope_freqs.weight") as string,
  })
})

const yarnOf4: Readonly<Record<string, GgufEntry>> = {
  "llama.rope.scaling.type": { string: "yarn" },
  "llama.rope.scaling.factor": { f32: 4 },
}

test("linear and yarn scaling keep their words", async () => {
  const scaled = (type: string): Promise<Record<string, unknown>> =>
    write({
      metadata: {
        "llama.rope.scaling.type": { string: type },
        "llama.rope.scaling.factor": { f32: 4 },
        "llama.rope.scaling.original_context_length": { u32: 16 },
      },
    }).then(config)
  expect((await scaled("linear")).rope_scaling).toEqual({ rope_type: "linear", factor: 4 })
  expect((await scaled("yarn")).rope_scaling).toEqual({
    ...{ rope_type: "yarn", factor: 4, original_max_position_embeddings: 16 },
  })
  const metadata = { "llama.rope.scaling.attn_factor": { f32: 0.5 } }
  const files = await openModelFiles(await write({ metadata: { ...METADATA, ...yarnOf4, ...metadata } }))
  // YaRN's own is 0.1 ln 4 + 1; GGUF's multiplies it
  expect((await files.config()).rope_scaling).toMatchObject({ attention_factor: 0.5 * (0.1 * Math.log(4) + 1) })
  await files.close()
  expect(await scaled("none")).not.toHaveProperty("rope_scaling")
})

test.each<[string, string, Parameters<typeof write>[0]]>([
  ["MODEL_UNSUPPORTED", "general.architecture", { metadata: { "general.architecture": { string: "mamba" } } }],
  ["MODEL_CONFIG", "general.architecture", { without: ["general.architecture"] }],
  ["MODEL_UNSUPPORTED", "split.count", { metadata: { "split.count": { u32: 2 } } }],
  ["MODEL_UNSUPPORTED", "general.type", { metadata: { "general.type": { string: "adapter" } } }],
  ["MODEL_UNSUPPORTED", "llama.expert_count", { metadata: { "llama.expert_count": { u32: 8 } } }],
  ["MODEL_CONFIG", "llama.block_count", { without: ["llama.block_count"] }],
  ["MODEL_CONFIG", "llama.block_count", { metadata: { "llama.block_count": { string: "1" } } }],
  ["MODEL_UNSUPPORTED", "head_count_kv", { metadata: { "llama.attention.head_count_kv": { i32s: [1, 2] } } }],
  ["MODEL_UNSUPPORTED", "rope.scaling.type", { metadata: { "llama.rope.scaling.type": { string: "longrope" } } }],
  ["MODEL_CONFIG", "q_proj", { metadata: { "llama.attention.head_count": { u32: 3 } } }],
  ["MODEL_UNSUPPORTED", "blk.0.ffn_gate_inp.weight", { tensors: { "blk.0.ffn_gate_inp.weight": rowNumbers([8, 8]) } }],
  [
    "WEIGHTS_DTYPE",
    "q_proj",
    { tensors: { "blk.0.attn_q.weight": { type: 24, shape: [8, 8], data: new Int8Array(64) } } },
  ],
  ["MODEL_CONFIG", "v_proj", { tensors: { "blk.0.attn_v.weight": rowNumbers([8, 8]) } }],
])("a model that cannot be computed is refused with %s naming %s", async (code, key, changes) => {
  await expect(write(changes).then((path) => loadBase(path, { precision: "stored" }))).rejects.toMatchObject({
    code,
    message: expect.stringContaining(key) as string,
  })
})

test("a scale that is not finite is refused by its tensor", async () => {
  const cols = 32
  const block = new Uint8Array(34)
  block.set([0x00, 0x7c]) // infinity as a half float
  const tensors = { "blk.0.attn_v.weight": { type: 8, shape: [1, cols], data: block } }
  const path = await write({ tensors })
  const files = await openModelFiles(path)
  const store = await files.store()
  await expect(store.readFrozen?.("model.layers.0.self_attn.v_proj.weight")).rejects.toMatchObject({
    code: "WEIGHTS_MALFORMED",
    message: expect.stringContaining("blk.0.attn_v.weight: expected finite scales") as string,
  })
  await files.close()
})

test("a GPT-2 is the same from GGUF as from safetensors, whose linears lie the other way round", async () => {
  const from = fileURLToPath(new URL("../../../../test/vectors/model/families/gpt2", import.meta.url))
  const expected = await loadBase(from, { precision: "f32" })
  const { config } = expected
  const architecture = GGUF_ARCHITECTURES.gpt2!
  const tensors = new Map<string, GgufData>()
  const add = (name: string, shape: number[], data: Float32Array): unknown =>
    tensors.set(ggufName(architecture, name), { type: 0, shape, data })
  for (const [name, weight] of Object.entries(expected.linears))
    add(`${name}.weight`, [weight.rows, weight.cols], dequantize(weight))
  for (const [name, values] of Object.entries(expected.norms)) add(`${name}.weight`, [values.length], values)
  for (const [name, values] of Object.entries(expected.biases)) add(`${name}.bias`, [values.length], values)
  const metadata: Record<string, GgufEntry> = {
    "general.architecture": { string: "gpt2" },
    "gpt2.block_count": { u32: config.layers },
    "gpt2.context_length": { u32: config.context },
    "gpt2.embedding_length": { u32: config.hidden },
    "gpt2.feed_forward_length": { u32: config.ffn },
    "gpt2.attention.head_count": { u32: config.heads },
    "gpt2.attention.layer_norm_epsilon": { f32: config.normEps },
  }
  const path = join(folder, "gpt2.gguf")
  await writeFile(path, Buffer.concat(encodeGguf(metadata, tensors)))
  const base = await loadBase(path, { precision: "f32" })
  expect(base.config).toEqual(config)
  for (const [name, weight] of Object.entries(expected.linears))
    expect(dequantize(base.linears[name]!)).toEqual(dequantize(weight))
  expect(base.norms).toEqual(expected.norms)
  expect(base.biases).toEqual(expected.biases)
})

test("a file without a tokenizer is quantized without one", async () => {
  const out = join(folder, "quantized")
  await quantizeModel(await write(), out, { format: "q8", keep: () => new Set(), onTensor: () => {} })
  expect((await readdir(out)).sort()).toEqual(["config.json", "model.safetensors"])
  expect((await loadBase(out, { precision: "stored" })).linears["model.embed_tokens"]?.format).toBe("q8")
})
