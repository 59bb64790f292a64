import { multiply, qrOfRows, transpose } from "./linalg.js"
import { energy } from "./matrix.js"
import type { Matrix } from "./matrix.js"

/**
 * ||b·a||_F for each a (R,N) of `rights` with one b (M,R). In factor space when R < M: b = Q·T gives ||b·a|| = ||T·a||,
 * which takes (R,N) and never (M,N), and loses no digits where the terms of b·a cancel (sums of Gram matrices would
 * lose half of them).
 */
export function productNorms(b: Matrix, rights: readonly Matrix[]): number[] {
  const left = b.cols < b.rows ? qrOfRows(transpose(b)).triangle : b
  return rights.map((a) => Math.sqrt(energy(multiply(left, a))))
}
