import { SIGN_PROBES } from "../sign-probes.js"
import type { FactorBlocks, StackPlace } from "../stack.js"

/** Fills rows and columns `at`.. of `into`; energies of the probes (8) where there are signs (4,N). */
export function referenceStack(
  blocks: FactorBlocks,
  { at, total, into }: StackPlace,
  signs: Float32Array | undefined,
): Float64Array {
  const sums = scaleRows(blocks, into.a.subarray(at * blocks.cols), signs)
  return placeColumns(blocks, { at, total, into: into.b }, sums)
}

/** Writes s_k·A_k; of every row what the probes make of it, scaled, then of its rounding (R,8). Zeros without signs. */
export function scaleRows(
  { cols, ranks, scales, a }: Pick<FactorBlocks, "cols" | "ranks" | "scales" | "a">,
  into: Float32Array,
  signs: Float32Array | undefined,
): Float64Array {
  const owner = Array.from(ranks).flatMap((rank, k) => new Array<number>(rank).fill(k))
  const sums = new Float64Array(owner.length * 2 * SIGN_PROBES)
  for (const [row, k] of owner.entries())
    for (let j = 0; j < cols; j++) {
      const exact = scales[k]! * a[row * cols + j]!
      const rounded = Math.fround(exact)
      into[row * cols + j] = rounded
      for (let p = 0; signs && p < SIGN_PROBES; p++) {
        sums[row * 2 * SIGN_PROBES + p]! += exact * signs[p * cols + j]!
        sums[(row * 2 + 1) * SIGN_PROBES + p]! += (rounded - exact) * signs[p * cols + j]!
      }
    }
  return sums
}

/** Writes the columns of every B_k from `at` on into (M,total); the energies (8) that follow from all sums (R,8). */
export function placeColumns(
  { rows, ranks, b }: Pick<FactorBlocks, "rows" | "ranks" | "b">,
  { at, total, into }: { readonly at: number; readonly total: number; readonly into: Float32Array },
  sums: Float64Array,
): Float64Array {
  const energies = new Float64Array(2 * SIGN_PROBES)
  const products = new Float64Array(rows * energies.length)
  for (let k = 0, row = 0; k < ranks.length; row += ranks[k++]!)
    for (let r = 0; r < ranks[k]!; r++)
      for (let i = 0; i < rows; i++) {
        const value = b[row * rows + i * ranks[k]! + r]!
        into[i * total + at + row + r] = value
        for (let p = 0; p < energies.length; p++)
          products[i * energies.length + p]! += value * sums[(row + r) * energies.length + p]!
      }
  for (let i = 0; i < products.length; i++) energies[i % energies.length]! += products[i]! ** 2
  return energies
}
