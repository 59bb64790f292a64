import type { Matrix } from "../matrix.js"

/** Row-major f32 values (M·N of them) and what they are multiplied by. */
export interface ScaledValues {
  readonly values: Float32Array
  readonly rows: number
  readonly cols: number
  readonly scale: number
}

/** `scale` times the values into `out`. */
export function referenceWiden({ values, scale }: ScaledValues, out: Float64Array): void {
  for (let i = 0; i < values.length; i++) out[i] = scale * values[i]!
}

/** The transpose (N,M) of `scale` times the values into `out`. */
export function referenceWidenTransposed({ values, rows, cols, scale }: ScaledValues, out: Float64Array): void {
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out[j * rows + i] = scale * values[i * cols + j]!
}

/** Each value rounded to f32 once. */
export function referenceNarrow({ data }: Matrix): Float32Array {
  return new Float32Array(data)
}

/** The transpose (N,M), each value rounded to f32 once. */
export function referenceNarrowTransposed({ rows, cols, data }: Matrix): Float32Array {
  const out = new Float32Array(rows * cols)
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out[j * rows + i] = data[i * cols + j]!
  return out
}

/** mᵀ (N,M) into `out`. */
export function referenceTranspose({ rows, cols, data }: Matrix, out: Float64Array): void {
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out[j * rows + i] = data[i * cols + j]!
}
