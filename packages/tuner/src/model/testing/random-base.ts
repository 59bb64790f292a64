import { frozenBytes, quantize } from "@lamina/kernels"
import type { FrozenWeight, TargetFormat } from "@lamina/kernels"

import type { Base, LoraModule, ModelConfig } from "../../api.js"
import { nameHash, uniformArray } from "../counter-random.js"
import { BLOCK_LINEARS } from "../module-slot.js"

/** Two small blocks, 4 query heads on 2 key heads. */
const SMALL: ModelConfig = {
  architecture: "llama",
  ...{ hidden: 32, layers: 2, heads: 4, kvHeads: 2, headDim: 8, ffn: 48, vocabulary: 64, context: 64 },
  ...{ rmsEps: 1e-5, ropeTheta: 10_000, tiedHead: true },
}

/** A model of random weights, wide enough that attention is far from uniform; no folder behind it. */
export function randomBase(options: { seed: number; format?: TargetFormat; config?: Partial<ModelConfig> }): Base {
  const config = { ...SMALL, ...options.config }
  const { seed, format = "f32" } = options
  const linears: Record<string, FrozenWeight> = {}
  const norms: Record<string, Float32Array> = {}
  let bytes = 0
  const addLinear = (name: string, rows: number, cols: number): void => {
    const bound = 2.4 / Math.sqrt(cols)
    const values = uniformArray([seed, nameHash(name)], { stream: 0, length: rows * cols, bound })
    linears[name] = quantize({ rows, cols, values }, format)
    bytes += frozenBytes(linears[name])
  }
  const addNorm = (name: string): void => {
    const values = uniformArray([seed, nameHash(name)], { stream: 0, length: config.hidden, bound: 0.3 })
    norms[name] = values.map((value) => 1 + value)
  }
  addLinear("model.embed_tokens", config.vocabulary, config.hidden)
  if (!config.tiedHead) addLinear("lm_head", config.vocabulary, config.hidden)
  for (let layer = 0; layer < config.layers; layer++) {
    for (const [name, [rows, cols]] of Object.entries(blockShapes(config)))
      addLinear(`model.layers.${layer}.${name}`, rows, cols)
    addNorm(`model.layers.${layer}.input_layernorm`)
    addNorm(`model.layers.${layer}.post_attention_layernorm`)
  }
  addNorm("model.norm")
  return { folder: "", config, precision: "stored", linears, norms, bytes }
}

/** All seven linear layers of every block at one rank. */
export function allModules(base: Base, lora: { rank: number; alpha: number }): LoraModule[] {
  return Object.entries(base.linears)
    .filter(([name]) => name.endsWith("_proj"))
    .map(([name, { rows, cols }]) => ({ name, outFeatures: rows, inFeatures: cols, ...lora }))
}

function blockShapes({ hidden, heads, kvHeads, headDim, ffn }: ModelConfig): Record<string, readonly [number, number]> {
  return {
    [BLOCK_LINEARS.q]: [heads * headDim, hidden],
    [BLOCK_LINEARS.k]: [kvHeads * headDim, hidden],
    [BLOCK_LINEARS.v]: [kvHeads * headDim, hidden],
    [BLOCK_LINEARS.o]: [hidden, heads * headDim],
    [BLOCK_LINEARS.gate]: [ffn, hidden],
    [BLOCK_LINEARS.up]: [ffn, hidden],
    [BLOCK_LINEARS.down]: [hidden, ffn],
  }
}
