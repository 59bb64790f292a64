import type { Family } from "./family.js"
import { LLAMA_LIKE, llamaConfig, qwenWindows } from "./llama-like.js"

/** Yang et al. 2024, arXiv:2407.10671: a Llama with biases on q, k and v. */
export const qwen2: Family = {
  ...LLAMA_LIKE,
  modelClass: "Qwen2ForCausalLM",
  readConfig: (fields) => {
    const config = llamaConfig(fields)
    return { ...config, biases: ["q", "k", "v"], ...qwenWindows(fields, config.layers) }
  },
}
