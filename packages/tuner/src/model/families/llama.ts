import type { Family } from "./family.js"
import { attentionBiases, LLAMA_LIKE, llamaConfig } from "./llama-like.js"

/** Touvron et al. 2023, arXiv:2302.13971; grouped-query attention, Ainslie et al. 2023, arXiv:2305.13245. */
export const llama: Family = {
  ...LLAMA_LIKE,
  modelClass: "LlamaForCausalLM",
  readConfig: (fields) => ({
    ...llamaConfig(fields),
    biases: [...attentionBiases(fields), ...(fields.flag("mlp_bias", false) ? (["gate", "up", "down"] as const) : [])],
  }),
}
