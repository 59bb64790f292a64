import type { Family } from "./family.js"
import { attentionBiases, LLAMA_LIKE, llamaConfig, qwenWindows } from "./llama-like.js"

/** transformers' default: not hidden / heads. */
const HEAD_DIM = 128

/** Yang et al. 2025, arXiv:2505.09388: a Llama that norms every head of q and k before it turns them. */
export const qwen3: Family = {
  ...LLAMA_LIKE,
  names: { ...LLAMA_LIKE.names, qNorm: "self_attn.q_norm", kNorm: "self_attn.k_norm" },
  modelClass: "Qwen3ForCausalLM",
  readConfig: (fields) => {
    const config = llamaConfig(fields, { headDim: HEAD_DIM })
    return { ...config, biases: attentionBiases(fields), ...qwenWindows(fields, config.layers) }
  },
}
