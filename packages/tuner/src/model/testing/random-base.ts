import { frozenBytes, quantize } from "@lamina/kernels"
import type { FrozenWeight, TargetFormat } from "@lamina/kernels"

import type { Base, LoraModule, ModelConfig } from "../../api.js"
import { linearShapes, moduleShapes, vectorShapes } from "../../weights/module-shapes.js"
import { nameHash, uniformArray } from "../counter-random.js"

/** Two small blocks, 4 query heads on 2 key heads. */
const SMALL: ModelConfig = {
  architecture: "llama",
  ...{ hidden: 32, layers: 2, heads: 4, kvHeads: 2, headDim: 8, ffn: 48, vocabulary: 64, context: 64 },
  ...{ normEps: 1e-5, rope: { theta: 10_000 }, tiedHead: true },
}

/** A model of random weights, wide enough that attention is far from uniform; no folder behind it. */
export function randomBase(options: { seed: number; format?: TargetFormat; config?: Partial<ModelConfig> }): Base {
  const config = { ...SMALL, ...options.config }
  const { seed, format = "f32" } = options
  const random = (name: string, length: number, bound: number): Float32Array =>
    uniformArray([seed, nameHash(name)], { stream: 0, length, bound })
  const linears: Record<string, FrozenWeight> = {}
  for (const { name, outFeatures: rows, inFeatures: cols } of linearShapes(config)) {
    const values = random(name, rows * cols, 2.4 / Math.sqrt(cols))
    linears[name] = quantize({ rows, cols, values }, format)
  }
  const [norms, biases]: Record<string, Float32Array>[] = [{}, {}]
  for (const { name, part, size } of vectorShapes(config))
    if (part === "weight") norms![name] = random(name, size, 0.3).map((value) => 1 + value)
    else biases![name] = random(`${name}.bias`, size, 0.3)
  const bytes = Object.values(linears).reduce((sum, weight) => sum + frozenBytes(weight), 0)
  return { folder: "", config, precision: "stored", linears, norms: norms!, biases: biases!, bytes }
}

/** All linear layers of every block at one rank. */
export function allModules(base: Base, lora: { rank: number; alpha: number }): LoraModule[] {
  return moduleShapes(base.config, "all-linear").map((shape) => ({ ...shape, ...lora }))
}
