import { LIMITS } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import type { ModelConfig } from "../api.js"
import { isJsonObject, showJson } from "../files/json.js"
import type { JsonObject } from "../files/json.js"
import { openModelFiles } from "./model-files.js"
import { isQuantizedFormat, PLAIN, QUANTIZED_BLOCKS } from "./quantized-format.js"
import type { Quantization, QuantizedFormat } from "./quantized-format.js"

const LAYERS_MAX = 1_024
const HEADS_MAX = 4_096
const CONTEXT_MAX = 2 ** 24

/** What config.json says about a checkpoint folder. */
export interface CheckpointConfig {
  readonly model: ModelConfig
  /** Set when the linears are stored as `lamina model quantize` writes them. */
  readonly quantization: Quantization | undefined
  /** Ids that end a document; may be empty. */
  readonly eosIds: readonly number[]
}

/**
 * What a model's folder or GGUF file (`openModelFiles`) says of its architecture. MODEL_CONFIG, MODEL_UNSUPPORTED,
 * FILE_UNREADABLE, and for GGUF WEIGHTS_MALFORMED.
 */
export async function readModelConfig(path: string): Promise<ModelConfig> {
  const files = await openModelFiles(path)
  try {
    return parseModelConfig(await files.config(), files.configPath).model
  } finally {
    await files.close()
  }
}

/**
 * Checks and translates the config.json of a Llama checkpoint, as transformers 4 (`rope_theta`) or 5
 * (`rope_parameters`) writes it. MODEL_UNSUPPORTED, naming key and value, for what our decoder does not compute;
 * MODEL_CONFIG for what is missing or makes no sense.
 */
export function parseModelConfig(config: JsonObject, path: string): CheckpointConfig {
  refuseUnsupported(config, path)
  const size = (key: string, most: number): number => positive(config, key, { most, path })
  const hidden = size("hidden_size", LIMITS.featuresMax)
  const heads = size("num_attention_heads", HEADS_MAX)
  const kvHeads = absent(config.num_key_value_heads) ? heads : size("num_key_value_heads", heads)
  if (heads % kvHeads !== 0)
    throw invalid(path, `num_key_value_heads: expected a divisor of num_attention_heads ${heads}, got ${kvHeads}`)
  if (absent(config.head_dim) && hidden % heads !== 0)
    throw invalid(path, `num_attention_heads: expected a divisor of hidden_size ${hidden}, got ${heads}`)
  const headDim = absent(config.head_dim) ? hidden / heads : size("head_dim", LIMITS.featuresMax)
  if (headDim % 2 !== 0 || headDim * heads > LIMITS.featuresMax)
    throw invalid(
      path,
      `head_dim: expected an even number, at most ${LIMITS.featuresMax} over all heads, got ${headDim}`,
    )
  return {
    model: {
      architecture: "llama",
      ...{ hidden, heads, kvHeads, headDim },
      layers: size("num_hidden_layers", LAYERS_MAX),
      ffn: size("intermediate_size", LIMITS.featuresMax),
      vocabulary: size("vocab_size", LIMITS.featuresMax),
      context: size("max_position_embeddings", CONTEXT_MAX),
      rmsEps: real(config.rms_norm_eps, "rms_norm_eps", path),
      ropeTheta: ropeTheta(config, path),
      tiedHead: flag(config, "tie_word_embeddings", path),
    },
    quantization: quantization(config, path),
    eosIds: eosIds(config, path),
  }
}

function refuseUnsupported(config: JsonObject, path: string): void {
  const { architectures } = config
  if (Array.isArray(architectures) && !architectures.includes("LlamaForCausalLM"))
    throw unsupported(path, { key: "architectures", expected: "LlamaForCausalLM", got: architectures })
  const expected: Readonly<Record<string, unknown>> = {
    model_type: "llama",
    hidden_act: "silu",
    attention_bias: false,
    mlp_bias: false,
    partial_rotary_factor: 1,
  }
  for (const [key, wanted] of Object.entries(expected)) {
    const got = config[key]
    if (absent(got) && key !== "model_type") continue
    if (got !== wanted) throw unsupported(path, { key, expected: showJson(wanted), got })
  }
  for (const key of ["rope_scaling", "rope_parameters"]) {
    const rope = config[key]
    if (absent(rope)) continue
    if (!isJsonObject(rope)) throw invalid(path, `${key}: expected an object or null, got ${showJson(rope)}`)
    const type = rope.rope_type ?? rope.type ?? (key === "rope_scaling" ? undefined : "default")
    if (type !== "default") throw unsupported(path, { key: `${key}.rope_type`, expected: '"default"', got: type })
    if (!absent(rope.partial_rotary_factor) && rope.partial_rotary_factor !== 1)
      throw unsupported(path, { key: `${key}.partial_rotary_factor`, expected: "1", got: rope.partial_rotary_factor })
  }
}

/** transformers' default where neither key is there, as in the first Llama checkpoints. */
function ropeTheta(config: JsonObject, path: string): number {
  const nested = isJsonObject(config.rope_parameters) ? config.rope_parameters.rope_theta : undefined
  if (!absent(nested)) return real(nested, "rope_parameters.rope_theta", path)
  return absent(config.rope_theta) ? 10_000 : real(config.rope_theta, "rope_theta", path)
}

function quantization(config: JsonObject, path: string): Quantization | undefined {
  const stored = config.quantization_config
  if (absent(stored)) return undefined
  if (!isJsonObject(stored)) throw invalid(path, `quantization_config: expected an object, got ${showJson(stored)}`)
  const { quant_method: method, format, block } = stored
  if (method !== "lamina")
    throw unsupported(path, { key: "quantization_config.quant_method", expected: '"lamina"', got: method })
  if (!isQuantizedFormat(format)) {
    const expected = `one of ${Object.keys(QUANTIZED_BLOCKS).join(", ")}`
    throw unsupported(path, { key: "quantization_config.format", expected, got: format })
  }
  const expected = QUANTIZED_BLOCKS[format]
  if (block !== expected)
    throw unsupported(path, { key: "quantization_config.block", expected: String(expected), got: block })
  return { format, exceptions: quantizationExceptions(stored.exceptions, path) }
}

/** Linear -> format, of `quantization_config.exceptions`. */
function quantizationExceptions(stored: unknown, path: string): Map<string, QuantizedFormat | undefined> {
  if (absent(stored)) return new Map()
  if (!isJsonObject(stored))
    throw invalid(path, `quantization_config.exceptions: expected an object, got ${showJson(stored)}`)
  return new Map(
    Object.entries(stored).map(([name, format]) => {
      if (format === PLAIN) return [name, undefined]
      if (isQuantizedFormat(format)) return [name, format]
      const expected = `one of ${PLAIN}, ${Object.keys(QUANTIZED_BLOCKS).join(", ")}`
      throw invalid(
        path,
        `quantization_config.exceptions.${name.slice(0, 80)}: expected ${expected}, got ${showJson(format)}`,
      )
    }),
  )
}

function eosIds(config: JsonObject, path: string): number[] {
  const stored = config.eos_token_id
  const ids: unknown[] = absent(stored) ? [] : Array.isArray(stored) ? stored : [stored]
  if (!ids.every((id) => Number.isSafeInteger(id) && (id as number) >= 0))
    throw invalid(path, `eos_token_id: expected a token id or a list of them, got ${showJson(stored)}`)
  return ids as number[]
}

function positive(config: JsonObject, key: string, bounds: { most: number; path: string }): number {
  const value = config[key]
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= bounds.most) return value as number
  throw invalid(bounds.path, `${key}: expected an integer from 1 to ${bounds.most}, got ${showJson(value)}`)
}

function real(value: unknown, key: string, path: string): number {
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value
  throw invalid(path, `${key}: expected a number above 0, got ${showJson(value)}`)
}

function flag(config: JsonObject, key: string, path: string): boolean {
  const value = config[key]
  if (absent(value) || typeof value === "boolean") return value ?? false
  throw invalid(path, `${key}: expected true or false, got ${showJson(value)}`)
}

function absent(value: unknown): value is null | undefined {
  return value === undefined || value === null
}

function invalid(path: string, message: string): LaminaError {
  return new LaminaError("MODEL_CONFIG", `${path}: ${message}`)
}

function unsupported(path: string, found: { key: string; expected: string; got: unknown }): LaminaError {
  return new LaminaError(
    "MODEL_UNSUPPORTED",
    `${path}: ${found.key}: expected ${found.expected}, got ${showJson(found.got)}`,
  )
}
