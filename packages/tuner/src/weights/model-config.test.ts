import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { parseModelConfig, readModelConfig } from "./model-config.js"
import { moduleShapes } from "./module-shapes.js"

const root = fileURLToPath(new URL("../../../../", import.meta.url))

/** As transformers writes it, the keys that matter. */
const CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_act: "silu",
  attention_bias: false,
  mlp_bias: false,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 128,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_parameters: { rope_type: "default", rope_theta: 500000 },
  tie_word_embeddings: true,
}
const YARN = { type: "yarn", factor: 2 }
const MISTRAL = { model_type: "mistral", architectures: ["MistralForCausalLM"] }
const QWEN2 = { model_type: "qwen2", architectures: ["Qwen2ForCausalLM"] }
const QWEN3 = { model_type: "qwen3", architectures: ["Qwen3ForCausalLM"] }
const parse = (changes: object): ReturnType<typeof parseModelConfig> =>
  parseModelConfig({ ...CONFIG, ...changes }, "config.json")

test("a config of transformers 5 is read in full", () => {
  expect(parse({ head_dim: 32 })).toEqual({
    model: {
      architecture: "llama",
      hidden: 64,
      layers: 2,
      heads: 4,
      kvHeads: 2,
      headDim: 32,
      ffn: 96,
      vocabulary: 128,
      context: 256,
      normEps: 1e-5,
      rope: { theta: 500000 },
      biases: [],
      tiedHead: true,
    },
    quantization: undefined,
  })
})

test("a config of transformers 4 has rope_theta at the top", () => {
  expect(parse({ rope_parameters: undefined, rope_theta: 12345, rope_scaling: null }).model.rope).toEqual({
    theta: 12345,
  })
})

test("what a config may leave out has transformers' defaults", () => {
  const { model } = parse({
    ...{ head_dim: null, num_key_value_heads: undefined, rope_parameters: undefined, tie_word_embeddings: undefined },
    ...{ hidden_act: undefined, attention_bias: undefined, mlp_bias: undefined, architectures: undefined },
  })
  // 64 / 4; as many key heads as heads; theta of the first Llama; a head of its own
  expect(model).toMatchObject({ headDim: 16, kvHeads: 4, rope: { theta: 10000 }, tiedHead: false })
})

test("our own quantized checkpoints say their format", () => {
  const stored = { quant_method: "lamina", format: "q4", block: 32 }
  expect(parse({ quantization_config: stored }).quantization?.format).toBe("q4")
})

test("scaling of positions is read in both spellings, with transformers' defaults", () => {
  const old = { rope_parameters: undefined, rope_theta: 1e6 }
  const yarn = { factor: 4, originalContext: 256, betaFast: 32, betaSlow: 1, truncate: true }
  expect(parse({ ...old, rope_scaling: { type: "linear", factor: 2 } }).model.rope).toEqual({
    ...{ theta: 1e6, scaling: { type: "linear", factor: 2 } },
  })
  // attention factor: 0.1 ln(4) + 1
  expect(parse({ rope_parameters: { rope_type: "yarn", rope_theta: 1e4, factor: 4 } }).model.rope).toEqual({
    ...{ theta: 1e4, scaling: { type: "yarn", ...yarn, attentionFactor: 0.1 * Math.log(4) + 1 } },
  })
  const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 128 }
  expect(parse({ ...old, rope_scaling: { rope_type: "llama3", ...llama3 } }).model.rope).toEqual({
    ...{ theta: 1e6, scaling: { type: "llama3", factor: 8, lowFactor: 1, highFactor: 4, originalContext: 128 } },
  })
})

test("every family has its own biases, head size and windows", () => {
  expect(parse({ attention_bias: true, mlp_bias: true }).model.biases).toEqual([
    "q",
    "k",
    "v",
    "o",
    "gate",
    "up",
    "down",
  ])
  expect(parse({ ...QWEN2 }).model).toMatchObject({ architecture: "qwen2", biases: ["q", "k", "v"], headDim: 16 })
  expect(parse({ ...QWEN3 }).model).toMatchObject({ architecture: "qwen3", biases: [], headDim: 128 })
  expect(parse({ ...MISTRAL }).model.windows).toEqual([4096, 4096])
  expect(parse({ ...MISTRAL, sliding_window: 8 }).model.windows).toEqual([8, 8])
  expect(parse({ ...MISTRAL, sliding_window: null }).model.windows).toBeUndefined()
})

test("GPT-2's config has words of its own", () => {
  const sizes = { n_embd: 64, n_head: 4, n_layer: 2, n_positions: 128, vocab_size: 96 }
  const gpt2 = (changes: object): ReturnType<typeof parseModelConfig> =>
    parseModelConfig({ model_type: "gpt2", architectures: ["GPT2LMHeadModel"], ...sizes, ...changes }, "config.json")
  expect(gpt2({}).model).toEqual({
    ...{ architecture: "gpt2", hidden: 64, heads: 4, kvHeads: 4, headDim: 16, layers: 2, ffn: 256, vocabulary: 96 },
    ...{ context: 128, normEps: 1e-5, activation: "gelu_tanh", biases: ["qkv", "o", "up", "down"], tiedHead: true },
  })
  expect(gpt2({ n_inner: 80, activation_function: "gelu" }).model).toMatchObject({ ffn: 80, activation: "gelu" })
  expect(() => gpt2({ activation_function: "relu" })).toThrow("activation_function: expected one of gelu_new")
  expect(() => gpt2({ scale_attn_weights: false })).toThrow("scale_attn_weights: expected true, got false")
  expect(() => gpt2({ n_head: 5 })).toThrow("n_head: expected a divisor of n_embd 64, got 5")
  expect(moduleShapes(gpt2({}).model, ["c_proj"]).map(({ name }) => name)).toEqual(
    ["0", "1"].flatMap((layer) => [`transformer.h.${layer}.attn.c_proj`, `transformer.h.${layer}.mlp.c_proj`]),
  )
})

test("Qwen's layers slide where its config says so", () => {
  const sliding = { ...QWEN2, use_sliding_window: true, sliding_window: 8 }
  expect(parse({ ...QWEN2, sliding_window: 8, use_sliding_window: false }).model.windows).toBeUndefined()
  expect(parse({ ...sliding, max_window_layers: 1 }).model.windows).toEqual([0, 8])
  expect(parse({ ...sliding, max_window_layers: 0 }).model.windows).toEqual([8, 8])
  expect(parse({ ...sliding, layer_types: ["sliding_attention", "full_attention"] }).model.windows).toEqual([8, 0])
})

const UNSUPPORTED: [string, object][] = [
  ["architectures", { architectures: ["LlamaForSequenceClassification"] }],
  ["model_type", { model_type: "bloom" }],
  ["model_type", { model_type: "toString" }],
  ["model_type", { model_type: undefined }],
  ["hidden_act", { hidden_act: "gelu" }],
  ["attention_bias", { ...MISTRAL, attention_bias: true }],
  ["layer_types", { ...QWEN3, use_sliding_window: true, layer_types: ["full_attention", "chunked_attention"] }],
  ["partial_rotary_factor", { partial_rotary_factor: 0.5 }],
  ["rope_scaling.rope_type", { rope_scaling: { rope_type: "dynamic", factor: 8 } }],
  ["rope_scaling.rope_type", { rope_scaling: { type: "longrope", factor: 8 } }],
  ["rope_scaling.partial_rotary_factor", { rope_scaling: { type: "linear", factor: 8, partial_rotary_factor: 0.5 } }],
  ["rope_scaling.rope_type", { rope_scaling: { factor: 2 } }],
  ["quantization_config.quant_method", { quantization_config: { quant_method: "gptq", bits: 4 } }],
  ["quantization_config.format", { quantization_config: { quant_method: "lamina", format: "q3", block: 32 } }],
  ["quantization_config.block", { quantization_config: { quant_method: "lamina", format: "q8", block: 64 } }],
]
test.each(UNSUPPORTED)("a %s our decoder does not compute is refused by key", (key, changes) => {
  expect(() => parse(changes)).toThrow(
    expect.objectContaining({
      code: "MODEL_UNSUPPORTED",
      message: expect.stringContaining(`${key}: expected`) as string,
    }),
  )
})

const INVALID: [string, object][] = [
  ["hidden_size", { hidden_size: undefined }],
  ["hidden_size", { hidden_size: "64" }],
  ["hidden_size", { hidden_size: 64.5 }],
  ["hidden_size", { hidden_size: 0 }],
  ["hidden_size", { hidden_size: 2 ** 21 }],
  ["num_hidden_layers", { num_hidden_layers: 1e9 }],
  ["intermediate_size", { intermediate_size: -96 }],
  ["vocab_size", { vocab_size: null }],
  ["max_position_embeddings", { max_position_embeddings: undefined }],
  ["rms_norm_eps", { rms_norm_eps: undefined }],
  ["rms_norm_eps", { rms_norm_eps: 0 }],
  ["num_key_value_heads", { num_key_value_heads: 3 }],
  ["num_key_value_heads", { num_key_value_heads: 8 }],
  ["num_attention_heads", { num_attention_heads: 5, num_key_value_heads: 5 }],
  ["head_dim", { head_dim: 15 }],
  ["head_dim", { head_dim: 2 ** 20 }],
  ["rope_parameters.rope_theta", { rope_parameters: { rope_theta: -1 } }],
  ["rope_scaling", { rope_scaling: [1] }],
  ["rope_scaling.factor", { rope_scaling: { type: "linear" } }],
  ["rope_scaling.factor", { rope_scaling: { type: "yarn", factor: 0 } }],
  ["rope_scaling.low_freq_factor", { rope_scaling: { rope_type: "llama3", factor: 8, high_freq_factor: 4 } }],
  [
    "rope_scaling.high_freq_factor",
    { rope_scaling: { rope_type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 4 } },
  ],
  ["rope_scaling.beta_fast", { rope_scaling: { type: "yarn", factor: 2, beta_fast: "32" } }],
  ["rope_scaling.original_max_position_embeddings", { rope_scaling: { ...YARN, original_max_position_embeddings: 0 } }],
  ["attention_bias", { attention_bias: 1 }],
  ["sliding_window", { ...MISTRAL, sliding_window: -1 }],
  ["sliding_window", { ...QWEN3, use_sliding_window: true, sliding_window: 1.5 }],
  ["layer_types", { ...QWEN3, use_sliding_window: true, layer_types: ["full_attention"] }],
  ["tie_word_embeddings", { tie_word_embeddings: "yes" }],
  ["quantization_config", { quantization_config: "q8" }],
]
test.each(INVALID)("a %s that makes no sense is refused by key", (key, changes) => {
  expect(() => parse(changes)).toThrow(
    expect.objectContaining({ code: "MODEL_CONFIG", message: expect.stringContaining(`${key}: expected`) as string }),
  )
})

test.each(["", "[]", "null", "{"])("a config of %p is refused", async (text) => {
  const folder = await mkdtemp(join(tmpdir(), "lamina-config-"))
  await writeFile(join(folder, "config.json"), text)
  await expect(readModelConfig(folder)).rejects.toMatchObject({ code: "MODEL_CONFIG" })
  await rm(folder, { recursive: true })
})

test("a folder without config.json is refused", async () => {
  await expect(readModelConfig(`${root}test`)).rejects.toMatchObject({ code: "MODEL_CONFIG" })
})

test("the shipped model's config is the one its README tells of", async () => {
  const { hidden, layers, heads, kvHeads } = await readModelConfig(`${root}models/tiny`)
  const stored = JSON.parse(await readFile(`${root}models/tiny/config.json`, "utf8")) as Record<string, number>
  expect([hidden, layers, heads, kvHeads]).toEqual([stored.hidden_size, stored.num_hidden_layers, 6, 3])
})

test("target modules become the linears of every layer, sorted by name", () => {
  // q: heads * headDim = 4 * 16 rows; k: 2 * 16; down: hidden rows, ffn columns
  const { model } = parse({})
  expect(moduleShapes(model, ["q_proj", "k_proj", "down_proj"])).toEqual([
    { name: "model.layers.0.mlp.down_proj", outFeatures: 64, inFeatures: 96 },
    { name: "model.layers.0.self_attn.k_proj", outFeatures: 32, inFeatures: 64 },
    { name: "model.layers.0.self_attn.q_proj", outFeatures: 64, inFeatures: 64 },
    { name: "model.layers.1.mlp.down_proj", outFeatures: 64, inFeatures: 96 },
    { name: "model.layers.1.self_attn.k_proj", outFeatures: 32, inFeatures: 64 },
    { name: "model.layers.1.self_attn.q_proj", outFeatures: 64, inFeatures: 64 },
  ])
})

test("layers sort as names do, ten before two", () => {
  const { model } = parse({ num_hidden_layers: 11 })
  const names = moduleShapes(model, ["o_proj"]).map(({ name }) => name)
  expect(names.slice(0, 4).map((name) => name.split(".")[2])).toEqual(["0", "1", "10", "2"])
})

test("an unknown target is refused, naming the known ones", () => {
  expect(() => moduleShapes(parse({}).model, ["q_proj", "c_attn"])).toThrow(
    expect.objectContaining({
      code: "RECIPE_INVALID",
      message: expect.stringMatching(/q_proj, k_proj.*"c_attn"/) as string,
    }),
  )
})
