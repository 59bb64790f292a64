import { addon } from "../native/addon.js"
import { checkStatus } from "../native/status.js"
import { Scratch, zeros } from "./matrix.js"
import type { Matrix } from "./matrix.js"
import type { ScaledValues } from "./reference/convert.js"
import type { Qr, VectorSet } from "./reference/householder-qr.js"
import type { Eigen } from "./reference/symmetric-eigen.js"

/** left (M,K) · right (K,N) by register tiles (native/product_f64.cpp). */
export function nativeMultiply(left: Matrix, right: Matrix): Matrix {
  const product = zeros(left.rows, right.cols)
  checkStatus(
    "multiply",
    addon().matrixProduct(left.rows, right.cols, left.cols, false, left.data, right.data, product.data),
  )
  return product
}

/** sum (M,N) += factor·left (M,K)·right (K,N), in place. */
export function nativeAddProduct(sum: Matrix, factor: number, [left, right]: readonly [Matrix, Matrix]): void {
  const { rows, cols } = sum
  checkStatus("addProduct", addon().addMatrixProduct(rows, cols, left.cols, factor, left.data, right.data, sum.data))
}

/** mᵀ·m (N,N) of m (M,N). */
export function nativeGram({ rows, cols, data }: Matrix): Matrix {
  const product = zeros(cols, cols)
  checkStatus("gram", addon().matrixProduct(cols, cols, rows, true, data, data, product.data))
  return product
}

/** Householder's QR by halves (native/householder.cpp) of up to 6 sets: Q = I - V·T·Vᵀ, kept as V and T. */
export function nativeQrOfEach(sets: readonly VectorSet[]): Qr[] {
  const problems = sets.map(({ vectors: { rows: count, cols: length, data }, scratch }) => {
    const core = Math.min(count, length)
    const v = scratch.take(count * addon().rowSpread(length))
    return { count, length, data, v, triangle: zeros(core, count), t: new Float64Array(core * core) }
  })
  const args = problems.flatMap(({ count, length, data, v, triangle, t }) => [count, length, data, v, triangle.data, t])
  checkStatus("qrOfRows", addon().rowQr(problems.length, ...args))
  return problems.map(({ count, length, v, triangle, t }) => ({
    triangle,
    applyQ: ({ rows, data: coordinates }, into = new Scratch()) => {
      const result = { rows, cols: length, data: into.take(rows * length) }
      checkStatus("applyQ", addon().rowApplyQ(rows, count, length, v, t, coordinates, result.data))
      return result
    },
  }))
}

/** Tridiagonal form, then implicit QL, whose rotations reach the eigenvectors in batches (native/eigen.cpp). */
export function nativeSymmetricEigen({ rows: size, data }: Matrix): Eigen {
  const values = new Float64Array(size)
  const vectors = zeros(size, size)
  checkStatus("symmetricEigen", addon().eigen(size, data, values, vectors.data))
  return { values, vectors }
}

/** `scale` times the values into `out` (native/convert_f64.cpp). */
export function nativeWiden({ values, rows, cols, scale }: ScaledValues, out: Float64Array): void {
  checkStatus("matrixOf", addon().widen(rows, cols, scale, false, values, out))
}

/** The transpose of `scale` times the values into `out`. */
export function nativeWidenTransposed({ values, rows, cols, scale }: ScaledValues, out: Float64Array): void {
  checkStatus("transposedOf", addon().widen(rows, cols, scale, true, values, out))
}

/** Each value rounded to f32 once. */
export function nativeNarrow({ rows, cols, data }: Matrix): Float32Array {
  const out = new Float32Array(rows * cols)
  checkStatus("floatsOf", addon().narrow(rows, cols, false, data, out))
  return out
}

/** The transpose, each value rounded to f32 once. */
export function nativeNarrowTransposed({ rows, cols, data }: Matrix): Float32Array {
  const out = new Float32Array(rows * cols)
  checkStatus("floatsOfTransposed", addon().narrow(rows, cols, true, data, out))
  return out
}

/** mᵀ (N,M) into `out`. */
export function nativeTranspose({ rows, cols, data }: Matrix, out: Float64Array): void {
  checkStatus("transpose", addon().transpose(rows, cols, data, out))
}
