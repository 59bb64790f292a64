import { energy, gram, matrixOf, multiply, qrOfRows, symmetricEigen, transpose, zeros } from "@lamina/kernels/linalg"
import type { Matrix } from "@lamina/kernels/linalg"
import { LaminaError, scaleOf } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"

import type { ModuleError } from "./strategy.js"

export interface CompressOptions {
  /** Relative Frobenius error allowed per module, 0 <= tau < 1; 0: lossless. */
  readonly tau: number
  /** Cap on the rank of every module; it wins over tau. */
  readonly maxRank?: number
}

export interface Compressed {
  readonly adapter: Adapter
  /** What truncation dropped, per module; rounding the new factors to f32 adds about 1e-7. */
  readonly errors: readonly ModuleError[]
}

/**
 * Every module at the smallest rank whose dropped singular values have energy <= tau² of the total, and at most
 * `maxRank` (then the error may exceed tau). The rank never exceeds min(M, N): a larger one is re-factorised even when
 * lossless. A module that needs no change is returned as it is; a changed one has scale 1 (alpha = rank). Throws
 * RECIPE_INVALID for options out of range.
 */
export function compress(adapter: Adapter, options: CompressOptions): Compressed {
  const { tau, maxRank } = options
  if (!(tau >= 0 && tau < 1)) throw new LaminaError("RECIPE_INVALID", `tau: expected 0 <= tau < 1, got ${tau}`)
  if (maxRank !== undefined && !(Number.isInteger(maxRank) && maxRank >= 1))
    throw new LaminaError("RECIPE_INVALID", `maxRank: expected a whole number of at least 1, got ${maxRank}`)
  const results = adapter.modules.map((module) => compressModule(module, options))
  return {
    adapter: { modules: results.map(({ module }) => module) },
    errors: results.map(({ module, relativeError }) => ({ module: module.name, relativeError })),
  }
}

function compressModule(
  module: AdapterModule,
  { tau, maxRank = Infinity }: CompressOptions,
): { module: AdapterModule; relativeError: number } {
  const { rank, outFeatures, inFeatures } = module
  const full = Math.min(rank, outFeatures, inFeatures)
  if (tau === 0 && maxRank >= full) return { module: rank > full ? denseFactors(module) : module, relativeError: 0 }
  return truncate(module, { tau, maxRank })
}

/** B·A as (B·A)·I or I·(B·A), whichever is smaller: rank min(M, N), exact but for one rounding to f32. */
function denseFactors(module: AdapterModule): AdapterModule {
  const { outFeatures, inFeatures } = module
  const product = multiply(...factors(module))
  if (inFeatures <= outFeatures) return withFactors(module, { b: product, a: identity(inFeatures) })
  return withFactors(module, { b: identity(outFeatures), a: product })
}

/**
 * With b·a = D·Qᵀ, Q orthonormal: the right singular vectors of D are the eigenvectors V of DᵀD, and D·V_k·V_kᵀ·Qᵀ is
 * the best approximation of rank k (Eckart & Young 1936). The new factors D·V_k / sqrt(S_k) and sqrt(S_k)·V_kᵀ·Qᵀ share
 * the singular values S evenly, as FLoRIST does (arXiv:2506.09199). Dropped values are measured as norms of D·v, not as
 * eigenvalues, whose last digits are lost.
 */
function truncate(
  module: AdapterModule,
  { tau, maxRank }: { tau: number; maxRank: number },
): { module: AdapterModule; relativeError: number } {
  const tall = module.outFeatures >= module.inFeatures
  const [b, a] = factors(module)
  const { dense, basis } = reduce(tall ? b : transpose(a), tall ? a : transpose(b))
  const { vectors } = symmetricEigen(gram(dense))
  const images = multiply(dense, transpose(vectors))
  const energies = columnEnergies(images)
  const total = energy(dense)
  const { rank, dropped } = smallestRank(energies, tau * tau * total, maxRank)
  if (rank >= module.rank) return { module, relativeError: 0 }
  const { left, right } = balanced({ images, vectors, energies }, rank, basis)
  const result = withFactors(module, tall ? { b: left, a: right } : { b: transpose(right), a: transpose(left) })
  return { module: result, relativeError: dropped === 0 ? 0 : Math.sqrt(dropped / total) }
}

/**
 * b (L,R) · a (R,C), L >= C, as dense (L,c)·(orthonormal (c,C)), c = min(R, C): `basis` takes rows of length c to rows
 * of length C.
 */
function reduce(b: Matrix, a: Matrix): { dense: Matrix; basis: (rows: Matrix) => Matrix } {
  if (a.rows >= a.cols) return { dense: multiply(b, a), basis: (rows) => rows }
  const { triangle, applyQ } = qrOfRows(a)
  return { dense: multiply(b, transpose(triangle)), basis: applyQ }
}

function columnEnergies({ rows, cols, data }: Matrix): Float64Array {
  const energies = new Float64Array(cols)
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) energies[j] = energies[j]! + data[i * cols + j]! ** 2
  return energies
}

/** Smallest rank whose tail is within `allowed`, then capped; at least 1. */
function smallestRank(energies: Float64Array, allowed: number, maxRank: number): { rank: number; dropped: number } {
  let rank = energies.length
  let dropped = 0
  while (rank > 1 && (rank > maxRank || dropped + energies[rank - 1]! <= allowed)) dropped += energies[--rank]!
  return { rank, dropped }
}

interface Spectrum {
  /** D·v_i as columns. */
  readonly images: Matrix
  /** v_i as rows. */
  readonly vectors: Matrix
  /** ||D·v_i||² */
  readonly energies: Float64Array
}

/**
 * left (L,k) and right (k,C); the largest entry of each row of `right` is positive, so that signs are no matter of
 * luck.
 */
function balanced(
  { images, vectors, energies }: Spectrum,
  rank: number,
  basis: (rows: Matrix) => Matrix,
): { left: Matrix; right: Matrix } {
  const size = vectors.cols
  const right = basis({ rows: rank, cols: size, data: vectors.data.slice(0, rank * size) })
  const left = zeros(images.rows, rank)
  for (let k = 0; k < rank; k++) {
    const row = right.data.subarray(k * right.cols, (k + 1) * right.cols)
    const root = energies[k]! ** 0.25
    const sign = largestEntry(row) < 0 ? -1 : 1
    for (let j = 0; j < row.length; j++) row[j] = row[j]! * sign * root
    for (let i = 0; i < left.rows; i++)
      left.data[i * rank + k] = root === 0 ? 0 : (sign * images.data[i * size + k]!) / root
  }
  return { left, right }
}

function largestEntry(row: Float64Array): number {
  return row.reduce((largest, value) => (Math.abs(value) > Math.abs(largest) ? value : largest), 0)
}

/** s·B (M,R) and A (R,N) in f64. */
function factors(module: AdapterModule): [Matrix, Matrix] {
  const { rank, outFeatures, inFeatures } = module
  return [
    matrixOf(module.b, { rows: outFeatures, cols: rank, scale: scaleOf(module) }),
    matrixOf(module.a, { rows: rank, cols: inFeatures, scale: 1 }),
  ]
}

function withFactors(
  { name, outFeatures, inFeatures }: AdapterModule,
  { a, b }: { a: Matrix; b: Matrix },
): AdapterModule {
  const rank = a.rows
  return {
    ...{ name, outFeatures, inFeatures, rank, alpha: rank, scaling: "lora" },
    ...{ a: new Float32Array(a.data), b: new Float32Array(b.data) },
  }
}

function identity(size: number): Matrix {
  const matrix = zeros(size, size)
  for (let i = 0; i < size; i++) matrix.data[i * size + i] = 1
  return matrix
}
