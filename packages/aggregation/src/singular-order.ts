import { scaleOf } from "@lamina/protocol"
import type { AdapterModule } from "@lamina/protocol"

import { compress } from "./compress.js"
import type { CompressOptions } from "./compress.js"
import { alphaOf } from "./module-factors.js"

/**
 * The module as its singular value decomposition, truncated as `options` say: scale 1, rank at most min(R, M, N), rows
 * of A and columns of B both of norm sqrt(S_k), S falling. So the leading k rows are the best approximation of rank k
 * (Eckart & Young 1936). `relativeError` is what truncation dropped.
 */
export function inSingularOrder(
  module: AdapterModule,
  { tau, maxRank = Infinity }: CompressOptions,
): { module: AdapterModule; relativeError: number } {
  const { outFeatures, inFeatures, rank } = module
  const full = Math.min(rank, outFeatures, inFeatures)
  // a row too many, of zeros, because `compress` leaves alone what needs no cut; a tau above 0 for the same reason
  const options = { tau: Math.max(tau, Number.MIN_VALUE), maxRank: Math.min(maxRank, full) }
  const { adapter, errors } = compress({ modules: [withZeroRow(module)] }, options)
  return { module: adapter.modules[0]!, relativeError: errors[0]!.relativeError }
}

/** S_k² of every row of a module in singular order. */
export function singularEnergies({ rank, outFeatures, inFeatures, a, b }: AdapterModule): number[] {
  return Array.from({ length: rank }, (_, k) => {
    let [right, left] = [0, 0]
    for (let j = 0; j < inFeatures; j++) right += a[k * inFeatures + j]! ** 2
    for (let i = 0; i < outFeatures; i++) left += b[i * rank + k]! ** 2
    return left * right
  })
}

/** One more row of A and column of B, all zero; the product and the scale stay. */
function withZeroRow(module: AdapterModule): AdapterModule {
  const { outFeatures, inFeatures, rank, scaling } = module
  const longer = rank + 1
  const a = new Float32Array(longer * inFeatures)
  a.set(module.a)
  const b = new Float32Array(outFeatures * longer)
  for (let i = 0; i < outFeatures; i++) b.set(module.b.subarray(i * rank, (i + 1) * rank), i * longer)
  return { ...module, rank: longer, alpha: alphaOf(scaleOf(module), { rank: longer, scaling }), a, b }
}
