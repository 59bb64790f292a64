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

/** Where columns of B go: into (M,total), from `at` on. */
interface ColumnPlace {
  readonly at: number
  readonly total: number
  readonly into: Float32Array
}

/**
 * Writes the columns of B_k (M,rank) and adds to `products` (M,8) what they make of the sums (rank,8), one rank after
 * another in f32, as natively: the same bits for any grouping.
 */
export function addColumns(
  { rows, rank, b }: { readonly rows: number; readonly rank: number; readonly b: Float32Array },
  { at, total, into }: ColumnPlace,
  { sums, products }: { readonly sums: Float64Array; readonly products: Float32Array },
): void {
  for (let r = 0; r < rank; r++)
    for (let i = 0; i < rows; i++) {
      const value = b[i * rank + r]!
      into[i * total + at + r] = value
      for (let p = 0; p < 2 * SIGN_PROBES; p++)
        products[i * 2 * SIGN_PROBES + p]! += value * sums[r * 2 * SIGN_PROBES + p]!
    }
}

/** The energies (8) of products (M,8). */
export function energiesOfProducts(products: Float32Array): Float64Array {
  const energies = new Float64Array(2 * SIGN_PROBES)
  for (const [i, product] of products.entries()) energies[i % energies.length]! += product ** 2
  return energies
}

/** Writes the columns of every B_k; the energies (8) that follow from all sums (R,8). */
function placeColumns(
  { rows, ranks, b }: Pick<FactorBlocks, "rows" | "ranks" | "b">,
  { at, total, into }: ColumnPlace,
  sums: Float64Array,
): Float64Array {
  const products = new Float32Array(rows * 2 * SIGN_PROBES)
  let row = 0
  for (const rank of ranks) {
    const block = { rows, rank, b: b.subarray(row * rows, (row + rank) * rows) }
    const own = sums.subarray(row * 2 * SIGN_PROBES, (row + rank) * 2 * SIGN_PROBES)
    addColumns(block, { at: at + row, total, into }, { sums: own, products })
    row += rank
  }
  return energiesOfProducts(products)
}
