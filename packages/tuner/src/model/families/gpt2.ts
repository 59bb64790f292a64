import { LIMITS } from "@lamina/protocol"

import type { Activation } from "../../api.js"
import type { ConfigFields } from "../../weights/config-fields.js"
import type { Family } from "./family.js"
import { CONTEXT_MAX, HEADS_MAX, LAYERS_MAX } from "./llama-like.js"

/** By transformers' names. */
const ACTIVATIONS = new Map<unknown, Activation>([
  ["gelu_new", "gelu_tanh"],
  ["gelu_pytorch_tanh", "gelu_tanh"],
  ["gelu", "gelu"],
])

/**
 * Radford et al. 2019, "Language Models are Unsupervised Multitask Learners": learned positions, layer norms, biases
 * everywhere, one linear for q, k and v, an MLP of two linears with GELU between.
 */
export const gpt2: Family = {
  modelClass: "GPT2LMHeadModel",
  names: {
    prefix: "transformer.",
    embed: "transformer.wte",
    positions: "transformer.wpe",
    layers: "transformer.h",
    linears: { qkv: "attn.c_attn", o: "attn.c_proj", up: "mlp.c_fc", down: "mlp.c_proj" },
    attentionNorm: "ln_1",
    mlpNorm: "ln_2",
    norm: "transformer.ln_f",
    head: "lm_head",
  },
  norm: "layer",
  transposed: true,
  redundant: /\.attn\.(masked_)?bias$/,
  readConfig: (fields) => {
    for (const key of ["scale_attn_by_inverse_layer_idx", "add_cross_attention"]) fields.only(key, false)
    fields.only("scale_attn_weights", true)
    const hidden = fields.size("n_embd", LIMITS.featuresMax)
    const heads = fields.size("n_head", HEADS_MAX)
    if (hidden % heads !== 0) throw fields.invalid("n_head", `a divisor of n_embd ${hidden}`)
    return {
      ...{ hidden, heads, kvHeads: heads, headDim: hidden / heads },
      layers: fields.size("n_layer", LAYERS_MAX),
      ffn: fields.size("n_inner", LIMITS.featuresMax, 4 * hidden),
      vocabulary: fields.size("vocab_size", LIMITS.featuresMax),
      context: fields.size("n_positions", Math.min(CONTEXT_MAX, LIMITS.featuresMax)),
      normEps: fields.real("layer_norm_epsilon", 1e-5),
      activation: activation(fields),
      biases: ["qkv", "o", "up", "down"],
      tiedHead: fields.flag("tie_word_embeddings", true),
    }
  },
}

function activation(fields: ConfigFields): Activation {
  const found = ACTIVATIONS.get(fields.get("activation_function") ?? "gelu_new")
  if (found === undefined)
    throw fields.unsupported("activation_function", `one of ${[...ACTIVATIONS.keys()].join(", ")}`)
  return found
}
