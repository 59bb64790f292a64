import { SIGN_PROBES } from "../sign-probes.js"
import type { FactorBlocks, StackPlace } from "../stack.js"

/** Fills rows and columns `at`.. of `into`; energies of the probes (8) where there are signs (4,N). */
export function referenceStack(
  { rows, cols, ranks, scales, a, b }: FactorBlocks,
  { at, total, into }: StackPlace,
  signs: Float32Array | undefined,
): Float64Array {
  const products = new Float64Array(rows * 2 * SIGN_PROBES)
  for (let k = 0, row = 0; k < ranks.length; row += ranks[k++]!) {
    const rank = ranks[k]!
    for (let r = 0; r < rank; r++) {
      const sums = new Float64Array(2 * SIGN_PROBES)
      for (let j = 0; j < cols; j++) {
        const exact = scales[k]! * a[(row + r) * cols + j]!
        const rounded = Math.fround(exact)
        into.a[(at + row + r) * cols + j] = rounded
        for (let p = 0; signs && p < SIGN_PROBES; p++) {
          sums[p]! += exact * signs[p * cols + j]!
          sums[SIGN_PROBES + p]! += (rounded - exact) * signs[p * cols + j]!
        }
      }
      for (let i = 0; i < rows; i++) {
        const value = b[row * rows + i * rank + r]!
        into.b[i * total + at + row + r] = value
        for (const [p, sum] of sums.entries()) products[i * sums.length + p]! += value * sum
      }
    }
  }
  const energies = new Float64Array(2 * SIGN_PROBES)
  for (let i = 0; i < products.length; i++) energies[i % energies.length]! += products[i]! ** 2
  return energies
}
