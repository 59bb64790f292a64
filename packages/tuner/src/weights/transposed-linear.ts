import type { FrozenWeight, WeightFormat } from "@lamina/kernels"

import { transpose } from "./float-tensor.js"
import type { MatrixShape } from "./module-shapes.js"

const PLAIN: readonly WeightFormat[] = ["f32", "bf16", "f16"]

/** Whether transformers' files hold a linear (in, out), as its Conv1D does; quantized ones always lie (out, in). */
export function liesTransposed({ transposed }: MatrixShape, format: WeightFormat): boolean {
  return transposed && PLAIN.includes(format)
}

/** The values of a plain W (M,N) as (N,M). */
export function transposedCodes({ rows, cols, codes }: FrozenWeight): Float32Array | Uint16Array {
  const values = codes as Float32Array | Uint16Array
  const turned = values.slice()
  transpose(values, turned, [rows, cols])
  return turned
}
