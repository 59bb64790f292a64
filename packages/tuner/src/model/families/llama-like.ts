import { LIMITS } from "@lamina/protocol"

import type { ModelConfig } from "../../api.js"
import type { ConfigFields } from "../../weights/config-fields.js"
import type { Family, FamilyNames, LinearName } from "./family.js"
import { ropeSettings } from "./rope-settings.js"

export const LAYERS_MAX = 1_024
export const HEADS_MAX = 4_096
export const CONTEXT_MAX = 2 ** 24

const NAMES: FamilyNames = {
  prefix: "",
  embed: "model.embed_tokens",
  layers: "model.layers",
  linears: {
    q: "self_attn.q_proj",
    k: "self_attn.k_proj",
    v: "self_attn.v_proj",
    o: "self_attn.o_proj",
    gate: "mlp.gate_proj",
    up: "mlp.up_proj",
    down: "mlp.down_proj",
  },
  attentionNorm: "input_layernorm",
  mlpNorm: "post_attention_layernorm",
  norm: "model.norm",
  head: "lm_head",
}

/** What the families have in common that are a Llama but for a detail. */
export const LLAMA_LIKE = {
  names: NAMES,
  norm: "rms",
  transposed: false,
  redundant: /\.rotary_emb\.inv_freq$/,
} satisfies Partial<Family>

/**
 * config.json of a Llama or of what is nearly one, as transformers 4 or 5 writes it, biases and windows left to the
 * family. `headDim`: the family's own where the file gives none, else hidden / heads. MODEL_CONFIG, MODEL_UNSUPPORTED.
 */
export function llamaConfig(fields: ConfigFields, own: { headDim?: number } = {}): Omit<ModelConfig, "architecture"> {
  fields.only("hidden_act", "silu")
  fields.only("partial_rotary_factor", 1)
  const hidden = fields.size("hidden_size", LIMITS.featuresMax)
  const heads = fields.size("num_attention_heads", HEADS_MAX)
  const kvHeads = fields.size("num_key_value_heads", heads, heads)
  if (heads % kvHeads !== 0) throw fields.invalid("num_key_value_heads", `a divisor of num_attention_heads ${heads}`)
  const given = fields.has("head_dim") ? fields.size("head_dim", LIMITS.featuresMax) : own.headDim
  if (given === undefined && hidden % heads !== 0)
    throw fields.invalid("num_attention_heads", `a divisor of hidden_size ${hidden}`)
  const headDim = given ?? hidden / heads
  if (headDim % 2 !== 0 || headDim * heads > LIMITS.featuresMax)
    throw fields.invalid("head_dim", `an even number, at most ${LIMITS.featuresMax} over all heads`)
  const context = fields.size("max_position_embeddings", CONTEXT_MAX)
  return {
    ...{ hidden, heads, kvHeads, headDim, context },
    layers: fields.size("num_hidden_layers", LAYERS_MAX),
    ffn: fields.size("intermediate_size", LIMITS.featuresMax),
    vocabulary: fields.size("vocab_size", LIMITS.featuresMax),
    normEps: fields.real("rms_norm_eps"),
    rope: ropeSettings(fields, context),
    tiedHead: fields.flag("tie_word_embeddings", false),
  }
}

/** The linears of attention that have a bias where config.json says `attention_bias`. */
export function attentionBiases(fields: ConfigFields): readonly LinearName[] {
  return fields.flag("attention_bias", false) ? ["q", "k", "v", "o"] : []
}

/**
 * `windows` of Qwen's config: layers from `max_window_layers` on slide where `use_sliding_window` says so, or those
 * that `layer_types` names. MODEL_CONFIG, MODEL_UNSUPPORTED.
 */
export function qwenWindows(fields: ConfigFields, layers: number): Pick<ModelConfig, "windows"> {
  if (!fields.flag("use_sliding_window", false)) return {}
  const window = fields.size("sliding_window", CONTEXT_MAX, 4_096)
  if (!fields.has("layer_types")) {
    const first = fields.get("max_window_layers") === 0 ? 0 : fields.size("max_window_layers", LAYERS_MAX, 28)
    return { windows: Array.from({ length: layers }, (_, layer) => (layer >= first ? window : 0)) }
  }
  const types = fields.get("layer_types")
  if (!Array.isArray(types) || types.length !== layers) throw fields.invalid("layer_types", `a list of ${layers}`)
  const kinds = new Map<unknown, number>([
    ["full_attention", 0],
    ["sliding_attention", window],
  ])
  return {
    windows: types.map((type) => {
      const size = kinds.get(type)
      if (size === undefined) throw fields.unsupported("layer_types", `only ${[...kinds.keys()].join(" and ")}`)
      return size
    }),
  }
}
