import { LaminaError } from "@lamina/protocol/errors"

import type { JsonObject } from "../files/json.js"
import { GGUF_ARCHITECTURES } from "./architectures.js"
import type { GgufArchitecture } from "./architectures.js"
import type { GgufFile } from "./gguf-file.js"
import { Metadata } from "./metadata.js"

/** Factors of Llama 3.1 and later, by which rope_freqs.weight is made (convert_hf_to_gguf.py). */
const LLAMA3 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8_192 }
/** f32 factors computed in another order of operations. */
const FACTOR_TOLERANCE = 1e-4

/** The architecture a file says it has. MODEL_UNSUPPORTED for one we do not have, MODEL_CONFIG. */
export function architectureOf(file: Pick<GgufFile, "path" | "metadata">): GgufArchitecture {
  const metadata = new Metadata(file)
  const parts = metadata.whole("split.count") ?? 1
  if (parts > 1)
    throw metadata.unsupported("split.count", "a model in one file", "join the parts with llama-gguf-split --merge")
  const kind = metadata.text("general.type") ?? "model"
  if (kind !== "model") throw metadata.unsupported("general.type", '"model"')
  const key = "general.architecture"
  const name = metadata.require(metadata.text(key), key, "text")
  const found = Object.hasOwn(GGUF_ARCHITECTURES, name) ? GGUF_ARCHITECTURES[name] : undefined
  if (found === undefined) throw metadata.unsupported(key, `one of ${Object.keys(GGUF_ARCHITECTURES).join(", ")}`)
  return found
}

/**
 * The config.json that transformers would have for a GGUF file, made of its metadata and of which tensors it holds.
 * Values are checked where config.json is (parseModelConfig). MODEL_CONFIG, MODEL_UNSUPPORTED, WEIGHTS_MALFORMED,
 * FILE_UNREADABLE.
 */
export async function ggufConfig(file: GgufFile): Promise<JsonObject> {
  const { architecture, modelType } = architectureOf(file)
  const metadata = new Metadata(file)
  const at = (key: string): string => `${metadata.text("general.architecture")}.${key}`
  const whole = (key: string): number => metadata.require(metadata.whole(at(key)), at(key), "a whole number")
  const common = {
    architectures: [architecture],
    model_type: modelType,
    vocab_size: vocabularyOf(file),
    tie_word_embeddings: !file.tensors.has("output.weight"),
    ...tokenIds(metadata),
  }
  if (modelType === "gpt2") return { ...common, ...gpt2Config(metadata, { at, whole }) }
  if ((metadata.whole(at("expert_count")) ?? 0) > 0)
    throw metadata.unsupported(at("expert_count"), "none, mixtures of experts are not supported")
  const heads = whole("attention.head_count")
  const hidden = whole("embedding_length")
  const headDim = metadata.whole(at("attention.key_length")) ?? Math.floor(hidden / Math.max(1, heads))
  const values = metadata.whole(at("attention.value_length")) ?? headDim
  if (values !== headDim) throw metadata.unsupported(at("attention.value_length"), `attention.key_length ${headDim}`)
  const rotated = metadata.whole(at("rope.dimension_count")) ?? headDim
  const epsilon = at("attention.layer_norm_rms_epsilon")
  const theta = metadata.number(at("rope.freq_base")) ?? 10_000
  return {
    ...common,
    hidden_act: "silu",
    hidden_size: hidden,
    intermediate_size: whole("feed_forward_length"),
    num_hidden_layers: whole("block_count"),
    num_attention_heads: heads,
    num_key_value_heads: metadata.whole(at("attention.head_count_kv")) ?? heads,
    head_dim: headDim,
    max_position_embeddings: whole("context_length"),
    rms_norm_eps: metadata.require(metadata.number(epsilon), epsilon, "a number"),
    rope_theta: theta,
    ...(await ropeScaling(file, { metadata, at, theta, rotated })),
    ...(rotated === headDim ? {} : { partial_rotary_factor: rotated / headDim }),
    ...(modelType === "llama" ? { attention_bias: file.tensors.has("blk.0.attn_q.bias") } : {}),
  }
}

/** llama.cpp runs every gpt2 with GELU's tanh form. */
function gpt2Config(
  metadata: Metadata,
  { at, whole }: { at: (key: string) => string; whole: (key: string) => number },
): JsonObject {
  const epsilon = at("attention.layer_norm_epsilon")
  return {
    activation_function: "gelu_new",
    n_embd: whole("embedding_length"),
    n_head: whole("attention.head_count"),
    n_layer: whole("block_count"),
    n_inner: whole("feed_forward_length"),
    n_positions: whole("context_length"),
    layer_norm_epsilon: metadata.require(metadata.number(epsilon), epsilon, "a number"),
  }
}

/** Rows of the embedding: padded ones have no token, but are there. */
function vocabularyOf(file: GgufFile): number {
  const shape = file.tensors.get("token_embd.weight")?.shape
  if (shape === undefined)
    throw new LaminaError("WEIGHTS_MISSING", `${file.path}: expected tensor token_embd.weight, found none`)
  return shape[0] ?? 0
}

function tokenIds(metadata: Metadata): JsonObject {
  const bos = metadata.whole("tokenizer.ggml.bos_token_id")
  const eos = metadata.whole("tokenizer.ggml.eos_token_id")
  return { ...(bos === undefined ? {} : { bos_token_id: bos }), ...(eos === undefined ? {} : { eos_token_id: eos }) }
}

interface RopeFacts {
  readonly metadata: Metadata
  readonly at: (key: string) => string
  readonly theta: number
  /** Dimensions of a head that are rotated. */
  readonly rotated: number
}

async function ropeScaling(file: GgufFile, facts: RopeFacts): Promise<JsonObject> {
  const { metadata, at } = facts
  if (file.tensors.has("rope_freqs.weight")) return { rope_scaling: await llama3Scaling(file, facts) }
  const type = metadata.text(at("rope.scaling.type"))
  const factor = metadata.number(at("rope.scaling.factor")) ?? metadata.number(at("rope.scale_linear"))
  if (type === "none" || (type === undefined && (factor === undefined || factor === 1))) return {}
  if (type !== undefined && type !== "linear" && type !== "yarn")
    throw metadata.unsupported(at("rope.scaling.type"), "none, linear or yarn")
  const original = metadata.whole(at("rope.scaling.original_context_length"))
  const attention = metadata.number(at("rope.scaling.attn_factor"))
  return {
    rope_scaling: {
      rope_type: type ?? "linear",
      factor: metadata.require(factor, at("rope.scaling.factor"), "a number"),
      ...(type === "yarn" && original !== undefined ? { original_max_position_embeddings: original } : {}),
      ...(type === "yarn" && attention !== undefined && attention !== 1
        ? { attention_factor: attention * yarnAttention(factor ?? 1) }
        : {}),
    },
  }
}

/** YaRN's own factor (arXiv:2309.00071, equation 22): GGUF's multiplies it, transformers' stands in its place. */
function yarnAttention(factor: number): number {
  return 0.1 * Math.log(factor) + 1
}

/**
 * Llama 3.1's scaling, of which a GGUF file holds only the resulting divisors: the largest is the factor, and the
 * others must be what it makes of Llama 3's own constants.
 */
async function llama3Scaling(file: GgufFile, { metadata, at, theta, rotated }: RopeFacts): Promise<JsonObject> {
  const { type, shape } = file.tensors.get("rope_freqs.weight") ?? {}
  const refused = (got: string): LaminaError =>
    new LaminaError(
      "MODEL_UNSUPPORTED",
      `${file.path}: rope_freqs.weight: expected the F32 divisors of Llama 3's RoPE scaling, got ${got}`,
    )
  const half = rotated / 2
  if (type?.name !== "F32" || String(shape) !== String([half])) throw refused(`${type?.name} [${shape?.join(", ")}]`)
  if (metadata.has(at("rope.scaling.type"))) throw metadata.unsupported(at("rope.scaling.type"), "none with rope_freqs")
  const divisors = new Float32Array((await file.readPlain("rope_freqs.weight")).buffer)
  const factor = divisors.reduce((most, divisor) => Math.max(most, divisor), -Infinity)
  for (let i = 0; i < half; i++) {
    const expected = llama3Divisor(2 * Math.PI * theta ** ((2 * i) / rotated), factor)
    const got = divisors[i] ?? NaN
    if (!(Math.abs(got - expected) <= FACTOR_TOLERANCE * expected)) throw refused(`${got} at ${i}, not ${expected}`)
  }
  return { rope_type: "llama3", factor, ...LLAMA3 }
}

/** By how much a frequency of this wave length (in tokens) is divided. */
function llama3Divisor(waveLength: number, factor: number): number {
  const { low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = LLAMA3
  if (waveLength < original / high) return 1
  if (waveLength > original / low) return factor
  const smooth = (original / waveLength - low) / (high - low)
  return 1 / ((1 - smooth) / factor + smooth)
}
