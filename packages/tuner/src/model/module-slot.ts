import type { ModelConfig } from "../api.js"
import { familyOf } from "./families/families.js"
import type { LinearName } from "./families/family.js"

/** Where a linear layer sits in the decoder. */
export interface ModuleSlot {
  readonly layer: number
  readonly linear: LinearName
}

/**
 * `model.layers.3.mlp.up_proj` of a Llama -> layer 3, up; undefined for a name that is none of the blocks' linear
 * layers.
 */
export function moduleSlot(config: Pick<ModelConfig, "architecture">, name: string): ModuleSlot | undefined {
  const { layers, linears } = familyOf(config).names
  if (!name.startsWith(`${layers}.`)) return undefined
  const match = /^(0|[1-9]\d{0,5})\.(.+)$/.exec(name.slice(layers.length + 1))
  const found = Object.entries(linears).find(([, path]) => path === match?.[2])
  return found && { layer: Number(match?.[1]), linear: found[0] as LinearName }
}
