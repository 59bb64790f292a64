import { gram, matrixOf, multiply, qrOfRows, symmetricEigen, transpose } from "@lamina/kernels/linalg"
import type { Matrix } from "@lamina/kernels/linalg"
import { scaleOf } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"

/** Singular values of a module's s·B·A, falling, min(R, M, N) of them. */
export interface ModuleSpectrum {
  readonly module: string
  readonly values: readonly number[]
}

/**
 * The singular values of every module's dW = s·B·A, in factor space: with B = Q_B·T_B and Aᵀ = Q_A·T_A they are those
 * of T_B·T_Aᵀ (the reduction of FLoRIST, arXiv:2506.09199). Values under some 1e-7 of the largest are rounding of f32
 * factors.
 */
export function spectrum(adapter: Adapter): ModuleSpectrum[] {
  return adapter.modules.map((module) => ({ module: module.name, values: singularValues(module) }))
}

function singularValues(module: AdapterModule): number[] {
  const { rank, outFeatures, inFeatures } = module
  const b = matrixOf(module.b, { rows: outFeatures, cols: rank, scale: scaleOf(module) })
  const a = matrixOf(module.a, { rows: rank, cols: inFeatures, scale: 1 })
  const core = multiply(triangleOf(transpose(b)), transpose(triangleOf(a)))
  // norms of core·v instead of roots of eigenvalues, whose last digits are lost
  const { vectors } = symmetricEigen(gram(core))
  const images = transpose(multiply(core, transpose(vectors)))
  const values = Array.from({ length: images.rows }, (_, i) => norm(images, i)).sort((left, right) => right - left)
  return values.slice(0, Math.min(rank, outFeatures, inFeatures))
}

/** T (c,K) of the K vectors that are the rows of `vectors`, V = Q·T. */
function triangleOf(vectors: Matrix): Matrix {
  return qrOfRows(vectors).triangle
}

function norm({ cols, data }: Matrix, row: number): number {
  return Math.sqrt(data.subarray(row * cols, (row + 1) * cols).reduce((sum, value) => sum + value * value, 0))
}
