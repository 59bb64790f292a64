import { zeros } from "../matrix.js"
import type { Matrix } from "../matrix.js"

/**
 * left (M,K) · right (K,N), summed in one fixed order. Four rows of `right` are added at once, which halves the loads;
 * outer columns where all four are zero are skipped, so that an identity or a triangle in `right` costs next to
 * nothing.
 */
export function referenceMultiply(left: Matrix, right: Matrix): Matrix {
  const { rows, cols: inner, data: a } = left
  const { cols, data: b } = right
  const product = zeros(rows, cols)
  const out = product.data
  for (let k = 0; k < inner; k += 4) {
    const { from, to } = nonZeroSpan(right, k)
    // past the last row the factor is 0 and the row read is the last one again
    const last = inner - 1
    const b0 = k * cols
    const b1 = Math.min(k + 1, last) * cols
    const b2 = Math.min(k + 2, last) * cols
    const b3 = Math.min(k + 3, last) * cols
    for (let i = 0; i < rows; i++) {
      const at = i * inner + k
      const a0 = a[at]!
      const a1 = k + 1 < inner ? a[at + 1]! : 0
      const a2 = k + 2 < inner ? a[at + 2]! : 0
      const a3 = k + 3 < inner ? a[at + 3]! : 0
      const row = i * cols
      for (let j = from; j < to; j++) {
        out[row + j] = out[row + j]! + (a0 * b[b0 + j]! + a1 * b[b1 + j]! + (a2 * b[b2 + j]! + a3 * b[b3 + j]!))
      }
    }
  }
  return product
}

/** Columns from..to-1 hold everything that is not zero in rows k..k+3. */
function nonZeroSpan({ rows, cols, data }: Matrix, k: number): { from: number; to: number } {
  let from = cols
  let to = 0
  for (let row = k; row < Math.min(k + 4, rows); row++) {
    const start = row * cols
    let first = 0
    while (first < cols && data[start + first] === 0) first++
    let end = cols
    while (end > first && data[start + end - 1] === 0) end--
    from = Math.min(from, first)
    if (end > first) to = Math.max(to, end)
  }
  return { from, to }
}

/** mᵀ·m (N,N) of m (M,N), both triangles. */
export function referenceGram({ rows, cols, data }: Matrix): Matrix {
  const product = zeros(cols, cols)
  const out = product.data
  for (let i = 0; i < rows; i += 4) {
    const last = rows - 1
    const r0 = i * cols
    const r1 = Math.min(i + 1, last) * cols
    const r2 = Math.min(i + 2, last) * cols
    const r3 = Math.min(i + 3, last) * cols
    for (let p = 0; p < cols; p++) {
      const v0 = data[r0 + p]!
      const v1 = i + 1 < rows ? data[r1 + p]! : 0
      const v2 = i + 2 < rows ? data[r2 + p]! : 0
      const v3 = i + 3 < rows ? data[r3 + p]! : 0
      const row = p * cols
      for (let q = p; q < cols; q++) {
        out[row + q] =
          out[row + q]! + (v0 * data[r0 + q]! + v1 * data[r1 + q]! + (v2 * data[r2 + q]! + v3 * data[r3 + q]!))
      }
    }
  }
  for (let p = 0; p < cols; p++) for (let q = 0; q < p; q++) out[p * cols + q] = out[q * cols + p]!
  return product
}

/** sum (M,N) += factor·left (M,K)·right (K,N), in place. */
export function referenceAddProduct(sum: Matrix, factor: number, [left, right]: readonly [Matrix, Matrix]): void {
  const { data } = referenceMultiply(left, right)
  for (let i = 0; i < data.length; i++) sum.data[i]! += factor * data[i]!
}
