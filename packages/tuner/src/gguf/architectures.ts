/**
 * What GGUF calls a tensor and what transformers calls it. `#` stands for the layer. Names from gguf-py's
 * tensor_mapping.py; what is not listed keeps its own name, which no architecture of ours expects.
 */
export interface GgufArchitecture {
  /** general.architecture. */
  readonly name: string
  /** Our names of the architectures that files call so. */
  readonly families: readonly string[]
  /** `architectures` and `model_type` of config.json. */
  readonly architecture: string
  readonly modelType: string
  readonly names: Readonly<Record<string, string>>
  /** Modules whose rows GGUF stores with the two halves of each head interleaved. */
  readonly interleaved: readonly string[]
}

const LLAMA_NAMES = {
  token_embd: "model.embed_tokens",
  output_norm: "model.norm",
  output: "lm_head",
  "blk.#.attn_norm": "model.layers.#.input_layernorm",
  "blk.#.attn_q": "model.layers.#.self_attn.q_proj",
  "blk.#.attn_k": "model.layers.#.self_attn.k_proj",
  "blk.#.attn_v": "model.layers.#.self_attn.v_proj",
  "blk.#.attn_output": "model.layers.#.self_attn.o_proj",
  "blk.#.ffn_norm": "model.layers.#.post_attention_layernorm",
  "blk.#.ffn_gate": "model.layers.#.mlp.gate_proj",
  "blk.#.ffn_up": "model.layers.#.mlp.up_proj",
  "blk.#.ffn_down": "model.layers.#.mlp.down_proj",
}

/** By general.architecture. Mistral's files say llama. */
export const GGUF_ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  llama: {
    name: "llama",
    families: ["llama", "mistral"],
    architecture: "LlamaForCausalLM",
    modelType: "llama",
    names: LLAMA_NAMES,
    // llama.cpp rotates neighbouring rows of a llama, transformers those half a head apart (arXiv:2104.09864)
    interleaved: ["self_attn.q_proj", "self_attn.k_proj"],
  },
  qwen2: {
    name: "qwen2",
    families: ["qwen2"],
    architecture: "Qwen2ForCausalLM",
    modelType: "qwen2",
    names: LLAMA_NAMES,
    interleaved: [],
  },
  qwen3: {
    name: "qwen3",
    families: ["qwen3"],
    architecture: "Qwen3ForCausalLM",
    modelType: "qwen3",
    names: {
      ...LLAMA_NAMES,
      "blk.#.attn_q_norm": "model.layers.#.self_attn.q_norm",
      "blk.#.attn_k_norm": "model.layers.#.self_attn.k_norm",
    },
    interleaved: [],
  },
  gpt2: {
    name: "gpt2",
    families: ["gpt2"],
    architecture: "GPT2LMHeadModel",
    modelType: "gpt2",
    names: {
      token_embd: "transformer.wte",
      position_embd: "transformer.wpe",
      output_norm: "transformer.ln_f",
      output: "lm_head",
      "blk.#.attn_norm": "transformer.h.#.ln_1",
      "blk.#.attn_qkv": "transformer.h.#.attn.c_attn",
      "blk.#.attn_output": "transformer.h.#.attn.c_proj",
      "blk.#.ffn_norm": "transformer.h.#.ln_2",
      "blk.#.ffn_up": "transformer.h.#.mlp.c_fc",
      "blk.#.ffn_down": "transformer.h.#.mlp.c_proj",
    },
    interleaved: [],
  },
}

/** transformers' name of a tensor: `blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`. */
export function transformersName(architecture: GgufArchitecture, name: string): string {
  return rename(architecture.names, name)
}

/** GGUF's name of a tensor: `model.layers.3.self_attn.q_proj.weight` -> `blk.3.attn_q.weight`. */
export function ggufName(architecture: GgufArchitecture, name: string): string {
  return rename(Object.fromEntries(Object.entries(architecture.names).map(([gguf, ours]) => [ours, gguf])), name)
}

function rename(names: Readonly<Record<string, string>>, name: string): string {
  const [, module = name, part = ""] = /^(.*?)(\.weight|\.bias)?$/.exec(name) ?? []
  const layer = /\.(\d+)\./.exec(module)?.[1]
  const pattern = layer === undefined ? module : module.replace(`.${layer}.`, ".#.")
  if (!Object.hasOwn(names, pattern)) return name
  return `${(names[pattern] ?? "").replace("#", layer ?? "")}${part}`
}
