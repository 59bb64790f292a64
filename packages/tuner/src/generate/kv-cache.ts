import type { ModelConfig } from "../api.js"

/** Keys and values of one sequence in f32: what its tokens so far have left for later ones to see. */
export interface KvCache {
  /** Tokens it has room for. */
  readonly capacity: number
  /** Tokens it holds. */
  length: number
  /** Per layer, (capacity, kvHeads·headDim). */
  readonly keys: readonly Float32Array[]
  readonly values: readonly Float32Array[]
}

/** Room for `capacity` tokens; pages that are never written take no memory. */
export function createCache(config: ModelConfig, capacity: number): KvCache {
  const size = capacity * config.kvHeads * config.headDim
  const layers = (): Float32Array[] => Array.from({ length: config.layers }, () => new Float32Array(size))
  return { capacity, length: 0, keys: layers(), values: layers() }
}
