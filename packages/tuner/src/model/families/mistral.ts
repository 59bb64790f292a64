import type { Family } from "./family.js"
import { CONTEXT_MAX, LLAMA_LIKE, llamaConfig } from "./llama-like.js"

/** transformers' default, of Mistral 7B's first version; later ones say null: no window. */
const WINDOW = 4_096

/** Jiang et al. 2023, arXiv:2310.06825: a Llama whose attention may reach back a fixed number of tokens only. */
export const mistral: Family = {
  ...LLAMA_LIKE,
  modelClass: "MistralForCausalLM",
  readConfig: (fields) => {
    fields.only("attention_bias", false)
    const config = llamaConfig(fields)
    if (fields.isNull("sliding_window")) return config
    const window = fields.size("sliding_window", CONTEXT_MAX, WINDOW)
    return { ...config, windows: Array.from({ length: config.layers }, () => window) }
  },
}
