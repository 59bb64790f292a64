import type { Matrix } from "../matrix.js"
import { makeReflector, reflect } from "./reflector.js"
import type { Stretch } from "./reflector.js"
import { tridiagonalEigen } from "./tridiagonal-eigen.js"

/** Eigenvalues in falling order and orthonormal eigenvectors as the rows of `vectors` (N,N). */
export interface Eigen {
  readonly values: Float64Array
  readonly vectors: Matrix
}

/**
 * All eigenvalues and eigenvectors of a symmetric matrix (N,N): Householder's tridiagonal form, then implicit QL.
 * Eigenvalues are exact to a few N·2^-53 of the largest. Plain arithmetic and square roots only, so the result is the
 * same on every machine. Golub & Van Loan, Matrix Computations, 8.3.
 */
export function referenceSymmetricEigen(matrix: Matrix): Eigen {
  const size = matrix.rows
  const largest = matrix.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  // scaled to order 1, so that squares inside neither overflow nor vanish
  const unit = largest === 0 ? 1 : largest
  const data = matrix.data.map((value) => value / unit)
  const { diagonal, offDiagonal, reflectors } = tridiagonalize(data, size)
  const vectors = tridiagonalEigen(diagonal, offDiagonal)
  for (let p = 0; p < size; p++)
    for (let k = reflectors.length - 1; k >= 0; k--)
      reflect(vectors, p * size + k + 1, reflectors[k]!.u, reflectors[k]!.beta)
  const values = diagonal.map((value) => value * unit)
  return sorted(values, vectors)
}

/**
 * H·A·H to tridiagonal form, column by column, on the upper triangle of `data` (N,N), which it consumes: row k keeps
 * the vector of reflection k.
 */
function tridiagonalize(
  data: Float64Array,
  size: number,
): { diagonal: Float64Array; offDiagonal: Float64Array; reflectors: { u: Stretch; beta: number }[] } {
  const diagonal = new Float64Array(size)
  const offDiagonal = new Float64Array(size)
  const reflectors: { u: Stretch; beta: number }[] = []
  for (let k = 0; k < size; k++) {
    diagonal[k] = data[k * size + k]!
    if (k + 1 === size) break
    const u = { data, start: k * size + k + 1, length: size - k - 1 }
    const { alpha, beta } = makeReflector(u)
    offDiagonal[k] = alpha
    reflectors.push({ u, beta })
    if (beta !== 0) reflectBothSides(data, size, k + 1, u, beta)
  }
  return { diagonal, offDiagonal, reflectors }
}

/** A <- H·A·H on rows and columns from `first` on: A - u·wᵀ - w·uᵀ with p = beta·A·u, w = p - (beta·(pᵀu)/2)·u. */
function reflectBothSides(data: Float64Array, size: number, first: number, u: Stretch, beta: number): void {
  const length = size - first
  const p = timesVector(data, size, first, u)
  let dot = 0
  for (let i = 0; i < length; i++) dot += p[i]! * data[u.start + i]!
  const w = p.map((value, i) => beta * value - ((beta * beta * dot) / 2) * data[u.start + i]!)
  for (let i = 0; i < length; i++) {
    const [ui, wi] = [data[u.start + i]!, w[i]!]
    const row = (first + i) * size + first
    for (let j = i; j < length; j++) data[row + j] = data[row + j]! - ui * w[j]! - wi * data[u.start + j]!
  }
}

/** A·u from the upper triangle alone. */
function timesVector(data: Float64Array, size: number, first: number, u: Stretch): Float64Array {
  const length = size - first
  const p = new Float64Array(length)
  for (let i = 0; i < length; i++) {
    const row = (first + i) * size + first
    const ui = data[u.start + i]!
    let dot = data[row + i]! * ui
    for (let j = i + 1; j < length; j++) {
      const value = data[row + j]!
      dot += value * data[u.start + j]!
      p[j] = p[j]! + value * ui
    }
    p[i] = p[i]! + dot
  }
  return p
}

function sorted(values: Float64Array, vectors: Float64Array): Eigen {
  const size = values.length
  const order = Array.from(values.keys()).sort((left, right) => values[right]! - values[left]! || left - right)
  const rows = new Float64Array(size * size)
  for (const [to, from] of order.entries()) rows.set(vectors.subarray(from * size, (from + 1) * size), to * size)
  return { values: Float64Array.from(order, (from) => values[from]!), vectors: { rows: size, cols: size, data: rows } }
}
