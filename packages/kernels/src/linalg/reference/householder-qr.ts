import { Scratch, zeros } from "../matrix.js"
import type { Matrix } from "../matrix.js"
import { makeReflector, reflect } from "./reflector.js"

/**
 * V = Q·T, where the K columns of V, of length L, are the ROWS of `vectors` (K,L). With c = min(K, L), T (c,K) is upper
 * triangular and Q (L,c) has orthonormal columns; it stays a product of reflections.
 */
export interface Qr {
  readonly triangle: Matrix
  /** Rows x (P,c) -> rows Q·x (P,L), in memory of `into`. */
  applyQ(coordinates: Matrix, into?: Scratch): Matrix
}

/** Vectors to factor, and the memory that the reflections take; sets factored together need one each. */
export interface VectorSet {
  readonly vectors: Matrix
  readonly scratch: Scratch
}

/** Householder's QR; vectors come as rows because rows are contiguous. Golub & Van Loan, Matrix Computations, 5.2.2. */
export function referenceQrOfRows({ vectors, scratch }: VectorSet): Qr {
  const { rows: count, cols: length } = vectors
  const data = scratch.take(vectors.data.length)
  data.set(vectors.data)
  const core = Math.min(count, length)
  const triangle = zeros(core, count)
  const reflectors = Array.from({ length: core }, (_, j) => {
    const u = { data, start: j * length + j, length: length - j }
    const { alpha, beta } = makeReflector(u)
    triangle.data[j * count + j] = alpha
    for (let i = j + 1; i < count; i++) {
      reflect(data, i * length + j, u, beta)
      triangle.data[j * count + i] = data[i * length + j]!
    }
    return { u, beta }
  })
  return {
    triangle,
    applyQ: (coordinates, into = new Scratch()) => {
      const result = { rows: coordinates.rows, cols: length, data: into.take(coordinates.rows * length).fill(0) }
      for (let p = 0; p < coordinates.rows; p++) {
        result.data.set(coordinates.data.subarray(p * core, (p + 1) * core), p * length)
        for (let j = core - 1; j >= 0; j--) reflect(result.data, p * length + j, reflectors[j]!.u, reflectors[j]!.beta)
      }
      return result
    },
  }
}
