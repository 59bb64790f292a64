import { expectShape, KernelError } from "../errors.js"
import { addon, nativeAvailable } from "../native/addon.js"
import { Scratch, zeros } from "./matrix.js"
import type { Matrix } from "./matrix.js"
import {
  nativeAddProduct,
  nativeGram,
  nativeMultiply,
  nativeNarrow,
  nativeNarrowTransposed,
  nativeQrOfEach,
  nativeSymmetricEigen,
  nativeTranspose,
  nativeWiden,
  nativeWidenTransposed,
} from "./native.js"
import {
  referenceNarrow,
  referenceNarrowTransposed,
  referenceTranspose,
  referenceWiden,
  referenceWidenTransposed,
} from "./reference/convert.js"
import type { ScaledValues } from "./reference/convert.js"
import { referenceQrOfRows } from "./reference/householder-qr.js"
import type { Qr, VectorSet } from "./reference/householder-qr.js"
import { referenceAddProduct, referenceGram, referenceMultiply } from "./reference/multiply.js"
import { referenceSymmetricEigen } from "./reference/symmetric-eigen.js"
import type { Eigen } from "./reference/symmetric-eigen.js"

/** Who computes: the C++ addon, or plain JavaScript. */
export type LinalgBackend = "native" | "reference"

interface LinearAlgebra {
  readonly multiply: (left: Matrix, right: Matrix) => Matrix
  readonly addProduct: (sum: Matrix, factor: number, factors: readonly [Matrix, Matrix]) => void
  readonly gram: (matrix: Matrix) => Matrix
  readonly qrOfEach: (sets: readonly VectorSet[]) => Qr[]
  readonly symmetricEigen: (matrix: Matrix) => Eigen
  readonly widen: (values: ScaledValues, out: Float64Array) => void
  readonly widenTransposed: (values: ScaledValues, out: Float64Array) => void
  readonly narrow: (matrix: Matrix) => Float32Array
  readonly narrowTransposed: (matrix: Matrix) => Float32Array
  readonly transpose: (matrix: Matrix, out: Float64Array) => void
}

const BACKENDS: Readonly<Record<LinalgBackend, LinearAlgebra>> = {
  native: {
    multiply: nativeMultiply,
    addProduct: nativeAddProduct,
    gram: nativeGram,
    qrOfEach: nativeQrOfEach,
    symmetricEigen: nativeSymmetricEigen,
    widen: nativeWiden,
    widenTransposed: nativeWidenTransposed,
    narrow: nativeNarrow,
    narrowTransposed: nativeNarrowTransposed,
    transpose: nativeTranspose,
  },
  reference: {
    multiply: referenceMultiply,
    addProduct: referenceAddProduct,
    gram: referenceGram,
    qrOfEach: (sets) => sets.map(referenceQrOfRows),
    symmetricEigen: referenceSymmetricEigen,
    widen: referenceWiden,
    widenTransposed: referenceWidenTransposed,
    narrow: referenceNarrow,
    narrowTransposed: referenceNarrowTransposed,
    transpose: referenceTranspose,
  },
}

/** As many as a call of the addon takes (native/addon_linalg.cpp). */
const SETS_MAX = 6

let chosen: LinalgBackend | undefined

/** What computes in this JavaScript thread: native where the addon loads (nativeAvailable), unless chosen otherwise. */
export function linalgBackend(): LinalgBackend {
  return (chosen ??= nativeAvailable() ? "native" : "reference")
}

/**
 * Chooses for this JavaScript thread; results of the two differ in their last digits. Throws KERNEL_UNAVAILABLE where
 * the addon does not load.
 */
export function chooseLinalgBackend(backend: LinalgBackend): void {
  if (backend === "native") addon()
  chosen = backend
}

interface Scaled {
  readonly rows: number
  readonly cols: number
  readonly scale: number
}

/** `scale` times row-major `values` (M·N of them), in memory of `into`. Throws KERNEL_SHAPE. */
export function matrixOf(
  values: Float32Array,
  { rows, cols, scale }: Scaled,
  into: Pick<Scratch, "take"> = new Scratch(),
): Matrix {
  expectShape("matrixOf: values", rows * cols, values.length)
  const matrix = { rows, cols, data: into.take(rows * cols) }
  BACKENDS[linalgBackend()].widen({ values, rows, cols, scale }, matrix.data)
  return matrix
}

/** The transpose (N,M) of `scale` times row-major `values` (M·N of them), in memory of `into`. Throws KERNEL_SHAPE. */
export function transposedOf(values: Float32Array, { rows, cols, scale }: Scaled, into = new Scratch()): Matrix {
  expectShape("transposedOf: values", rows * cols, values.length)
  const matrix = { rows: cols, cols: rows, data: into.take(rows * cols) }
  BACKENDS[linalgBackend()].widenTransposed({ values, rows, cols, scale }, matrix.data)
  return matrix
}

/** The values of m (M,N), row-major, each rounded to f32 once. */
export function floatsOf(matrix: Matrix): Float32Array {
  return BACKENDS[linalgBackend()].narrow(matrix)
}

/** The values of mᵀ (N,M), row-major, each rounded to f32 once. */
export function floatsOfTransposed(matrix: Matrix): Float32Array {
  return BACKENDS[linalgBackend()].narrowTransposed(matrix)
}

/** mᵀ (N,M) of m (M,N). */
export function transpose(matrix: Matrix): Matrix {
  const result = zeros(matrix.cols, matrix.rows)
  BACKENDS[linalgBackend()].transpose(matrix, result.data)
  return result
}

/**
 * left (M,K) · right (K,N). Sums have an order that only the shapes decide, so the result is the same on any number of
 * threads. Throws KERNEL_SHAPE.
 */
export function multiply(left: Matrix, right: Matrix): Matrix {
  expectShape("multiply: rows of the right matrix", left.cols, right.rows)
  return BACKENDS[linalgBackend()].multiply(left, right)
}

/** sum (M,N) += factor·left (M,K)·right (K,N), in place, summed as `multiply` does. Throws KERNEL_SHAPE. */
export function addProduct(sum: Matrix, factor: number, [left, right]: readonly [Matrix, Matrix]): void {
  expectShape("addProduct: rows of the right matrix", left.cols, right.rows)
  expectShape("addProduct: rows of the sum", left.rows, sum.rows)
  expectShape("addProduct: columns of the sum", right.cols, sum.cols)
  BACKENDS[linalgBackend()].addProduct(sum, factor, [left, right])
}

/** mᵀ·m (N,N) of m (M,N). */
export function gram(matrix: Matrix): Matrix {
  return BACKENDS[linalgBackend()].gram(matrix)
}

/**
 * V = Q·T of the K columns of V, of length L, which are the ROWS of `vectors` (K,L), by Householder's reflections.
 * Stable whatever the rank: ||V - Q·T||_F and ||QᵀQ - I||_F are of the order K·L·2^-53 times ||V||_F and 1 (Higham,
 * Accuracy and Stability of Numerical Algorithms, 19.3). Entries beyond about 1e±150 overflow or vanish when squared.
 * `applyQ` reads from `scratch`, so it is valid until that is taken again.
 */
export function qrOfRows(vectors: Matrix, scratch = new Scratch()): Qr {
  return qrOfEach([{ vectors, scratch }])[0]!
}

/**
 * qrOfRows of up to 6 sets of vectors, side by side where there are as many as threads; the same bits either way.
 * Throws KERNEL_SHAPE for more.
 */
export function qrOfEach(sets: readonly VectorSet[]): Qr[] {
  if (sets.length > SETS_MAX)
    throw new KernelError("KERNEL_SHAPE", `qrOfEach: expected at most ${SETS_MAX} sets, got ${sets.length}`)
  return BACKENDS[linalgBackend()].qrOfEach(sets)
}

/**
 * All eigenvalues, falling, and orthonormal eigenvectors, as rows, of a symmetric matrix (N,N). Eigenvalues are exact
 * to a few N·2^-53 of the largest. Throws KERNEL_SHAPE, and KERNEL_FAILED where it does not converge.
 */
export function symmetricEigen(matrix: Matrix): Eigen {
  expectShape("symmetricEigen: columns", matrix.rows, matrix.cols)
  return BACKENDS[linalgBackend()].symmetricEigen(matrix)
}
