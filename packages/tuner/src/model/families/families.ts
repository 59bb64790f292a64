import type { Architecture } from "../../api.js"
import type { Family } from "./family.js"
import { gpt2 } from "./gpt2.js"
import { llama } from "./llama.js"
import { mistral } from "./mistral.js"
import { qwen2 } from "./qwen2.js"
import { qwen3 } from "./qwen3.js"

/** Every architecture there is, by config.json's `model_type`. */
export const FAMILIES: Readonly<Record<Architecture, Family>> = { llama, mistral, qwen2, qwen3, gpt2 }

/** What is special about the family of a model. */
export function familyOf(config: { readonly architecture: Architecture }): Family {
  return FAMILIES[config.architecture]
}

/** Whether a module is one of transformers' Conv1D, by its name: PEFT then wants `fan_in_fan_out`. */
export function isConv1d(module: string): boolean {
  return Object.values(FAMILIES).some(({ transposed, names }) => transposed && module.startsWith(`${names.layers}.`))
}
