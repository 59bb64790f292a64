import {
  energy,
  floatsOf,
  floatsOfTransposed,
  gram,
  matrixOf,
  multiply,
  qrOfEach,
  Scratch,
  symmetricEigen,
  transpose,
  transposedOf,
  zeros,
} from "@lamina/kernels/linalg"
import type { Matrix, Qr, VectorSet } from "@lamina/kernels/linalg"
import { LaminaError, scaleOf } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"

import type { ModuleError } from "./strategy.js"

export interface CompressOptions {
  /**
   * Relative Frobenius error allowed per module, 0 <= tau < 1; 0: lossless. It holds for one call: what was cut may be
   * cut further by the next.
   */
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
  const memory = new Memory()
  const results = adapter.modules.map((module) => compressModule(module, options, memory))
  return {
    adapter: { modules: results.map(({ module }) => module) },
    errors: results.map(({ module, relativeError }) => ({ module: module.name, relativeError })),
  }
}

/** What one module after another works in. */
class Memory {
  readonly b = new Scratch()
  readonly a = new Scratch()
  readonly qrOfB = new Scratch()
  readonly qrOfA = new Scratch()
}

function compressModule(
  module: AdapterModule,
  { tau, maxRank = Infinity }: CompressOptions,
  memory: Memory,
): { module: AdapterModule; relativeError: number } {
  const { rank, outFeatures, inFeatures } = module
  const full = Math.min(rank, outFeatures, inFeatures)
  if (tau === 0 && maxRank >= full) return { module: rank > full ? denseFactors(module) : module, relativeError: 0 }
  return truncate(module, { tau, maxRank }, memory)
}

/** B·A as (B·A)·I or I·(B·A), whichever is smaller: rank min(M, N), exact but for one rounding to f32. */
function denseFactors(module: AdapterModule): AdapterModule {
  const { outFeatures, inFeatures, rank } = module
  const b = matrixOf(module.b, { rows: outFeatures, cols: rank, scale: scaleOf(module) })
  const product = multiply(b, matrixOf(module.a, { rows: rank, cols: inFeatures, scale: 1 }))
  const full = floatsOf(product)
  if (inFeatures <= outFeatures) return withFactors(module, { b: full, a: identity(inFeatures) })
  return withFactors(module, { b: identity(outFeatures), a: full })
}

/**
 * Q_B·R_B = s·B and Q_A·R_A = Aᵀ; the core C = R_B·R_Aᵀ has the singular values of s·B·A. The eigenvectors V of CᵀC are
 * its right singular vectors, and Q_B·C·V_k·V_kᵀ·Q_Aᵀ is the best approximation of rank k (Eckart & Young 1936). The
 * new factors Q_B·(C·V_k / sqrt(S_k)) and sqrt(S_k)·V_kᵀ·Q_Aᵀ share the singular values S evenly, as FLoRIST does
 * (arXiv:2506.09199). Dropped values are measured as norms of C·v, not as eigenvalues, whose last digits are lost:
 * with V orthonormal to a few R·2^-53, the energies kept and dropped add up to the total to as many digits, whatever V
 * is. Singular values below some 2^-26 of the largest are not told apart, so with tau under 1e-8 the rank may exceed
 * the smallest; f32 factors carry 2^-24. Where C is wide the two sides change places, so that CᵀC is the smaller one.
 */
function truncate(
  module: AdapterModule,
  { tau, maxRank }: { tau: number; maxRank: number },
  memory: Memory,
): { module: AdapterModule; relativeError: number } {
  const { rank: before, outFeatures, inFeatures } = module
  const columns = transposedOf(module.b, { rows: outFeatures, cols: before, scale: scaleOf(module) }, memory.b)
  const rows = matrixOf(module.a, { rows: before, cols: inFeatures, scale: 1 }, memory.a)
  const [ofB, ofA] = orthonormal({ vectors: columns, scratch: memory.qrOfB }, { vectors: rows, scratch: memory.qrOfA })
  const tall = ofB.triangle.rows >= ofA.triangle.rows
  const [long, short] = tall ? [ofB.triangle, ofA.triangle] : [ofA.triangle, ofB.triangle]
  const core = multiply(long, transpose(short))
  const { vectors } = symmetricEigen(gram(core))
  const images = multiply(vectors, transpose(core))
  const energies = rowEnergies(images)
  const total = energy(core)
  const { rank, dropped } = smallestRank(energies, tau * tau * total, maxRank)
  if (rank >= before) return { module, relativeError: 0 }
  const roots = energies.subarray(0, rank).map((value) => value ** 0.25)
  const scaledVectors = scaledRows(vectors, roots)
  const scaledImages = scaledRows(
    images,
    roots.map((root) => (root === 0 ? 0 : 1 / root)),
  )
  const a = ofA.applyQ(tall ? scaledVectors : scaledImages, memory.a)
  const signs = makeLargestPositive(a)
  const b = ofB.applyQ(scaledRows(tall ? scaledImages : scaledVectors, signs), memory.b)
  const relativeError = dropped === 0 ? 0 : Math.sqrt(dropped / total)
  return { module: withFactors(module, { a: floatsOf(a), b: floatsOfTransposed(b) }), relativeError }
}

/** V = Q·T of the columns of each V, given as rows (R,L): Q with orthonormal columns, the identity where R > L. */
function orthonormal(b: VectorSet, a: VectorSet): [Qr, Qr] {
  const isLong = ({ vectors }: VectorSet): boolean => vectors.rows <= vectors.cols
  const factored = qrOfEach([b, a].filter(isLong))
  const of = (set: VectorSet): Qr =>
    isLong(set) ? factored.shift()! : { triangle: transpose(set.vectors), applyQ: (coordinates) => coordinates }
  return [of(b), of(a)]
}

function rowEnergies({ rows, cols, data }: Matrix): Float64Array {
  return Float64Array.from({ length: rows }, (_, i) =>
    energy({ rows: 1, cols, data: data.subarray(i * cols, (i + 1) * cols) }),
  )
}

/** Smallest rank whose tail is within `allowed`, then capped; at least 1. */
function smallestRank(energies: Float64Array, allowed: number, maxRank: number): { rank: number; dropped: number } {
  let rank = energies.length
  let dropped = 0
  while (rank > 1 && (rank > maxRank || dropped + energies[rank - 1]! <= allowed)) dropped += energies[--rank]!
  return { rank, dropped }
}

/** The first rows of a matrix, each times its factor. */
function scaledRows({ cols, data }: Matrix, factors: Float64Array): Matrix {
  const scaled = zeros(factors.length, cols)
  for (let k = 0; k < factors.length; k++)
    for (let j = 0; j < cols; j++) scaled.data[k * cols + j] = factors[k]! * data[k * cols + j]!
  return scaled
}

/** Turns rows around, in place, so that signs are no matter of luck; which ones: -1. */
function makeLargestPositive({ rows, cols, data }: Matrix): Float64Array {
  const signs = new Float64Array(rows).fill(1)
  for (let k = 0; k < rows; k++) {
    const row = data.subarray(k * cols, (k + 1) * cols)
    let largest = 0
    for (let j = 0; j < cols; j++) if (Math.abs(row[j]!) > Math.abs(largest)) largest = row[j]!
    if (largest >= 0) continue
    signs[k] = -1
    for (let j = 0; j < cols; j++) row[j] = -row[j]!
  }
  return signs
}

function withFactors(
  { name, outFeatures, inFeatures }: AdapterModule,
  { a, b }: { a: Float32Array; b: Float32Array },
): AdapterModule {
  const rank = a.length / inFeatures
  return { name, outFeatures, inFeatures, rank, alpha: rank, scaling: "lora", a, b }
}

function identity(size: number): Float32Array {
  const values = new Float32Array(size * size)
  for (let i = 0; i < size; i++) values[i * size + i] = 1
  return values
}
