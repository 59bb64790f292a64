import { KernelError } from "./errors.js"
import { encodeBf16, encodeF16, decodeF16 } from "./float-bits.js"
import { blocksPerRow, checkFrozen, dequantizeRow, QUANT_BLOCK } from "./frozen.js"
import type { FrozenWeight, WeightFormat } from "./frozen.js"

/** A float matrix (M,N), row-major. */
export interface DenseWeight {
  readonly rows: number
  readonly cols: number
  readonly values: Float32Array
}

/**
 * W (M,N) in `format`, on SharedArrayBuffers. f32 copies; bf16 rounds to nearest even; q8: scale = f16(max|w| / 127)
 * per block of 32 columns, code = round(w / scale) in -127..127; q4: min = f16(lowest), scale = f16((highest - lowest)
 * / 15), code = round((w - min) / scale) in 0..15.
 * Throws KERNEL_SHAPE when values and shape disagree, KERNEL_FAILED when a value is not finite or out of an f16 scale's
 * range.
 */
export function quantize(weight: DenseWeight, format: WeightFormat): FrozenWeight {
  return requantize({ format: "f32", rows: weight.rows, cols: weight.cols, codes: weight.values }, format)
}

/**
 * The same W in another format, row by row: beyond the result it takes memory for one f32 row. Rounds even when the
 * format stays.
 */
export function requantize(weight: FrozenWeight, format: WeightFormat): FrozenWeight {
  checkFrozen("requantize", weight)
  const target = allocateFrozen(format, weight.rows, weight.cols)
  const values = new Float32Array(weight.cols)
  for (let row = 0; row < weight.rows; row++) {
    dequantizeRow(weight, row, values)
    quantizeRow(target, row, values)
  }
  return target
}

/** All of W as f32 (M,N); for tests and small weights, 4 bytes per element. */
export function dequantize(weight: FrozenWeight): Float32Array {
  checkFrozen("dequantize", weight)
  const values = new Float32Array(weight.rows * weight.cols)
  for (let row = 0; row < weight.rows; row++) dequantizeRow(weight, row, values, row * weight.cols)
  return values
}

/**
 * ||W' - W||_F / ||W||_F of `approximation` W' against `exact` W of the same shape; 0 when both are zero. Summed in
 * f64.
 */
export function quantizationError(exact: FrozenWeight, approximation: FrozenWeight): number {
  checkFrozen("exact", exact)
  checkFrozen("approximation", approximation)
  if (exact.rows !== approximation.rows || exact.cols !== approximation.cols)
    throw new KernelError(
      "KERNEL_SHAPE",
      `approximation: expected (${exact.rows}, ${exact.cols}), got (${approximation.rows}, ${approximation.cols})`,
    )
  const want = new Float32Array(exact.cols)
  const got = new Float32Array(exact.cols)
  let errorSq = 0
  let normSq = 0
  for (let row = 0; row < exact.rows; row++) {
    dequantizeRow(exact, row, want)
    dequantizeRow(approximation, row, got)
    for (let j = 0; j < want.length; j++) {
      errorSq += (got[j]! - want[j]!) ** 2
      normSq += want[j]! ** 2
    }
  }
  return errorSq === 0 ? 0 : Math.sqrt(errorSq / normSq)
}

/** An all-zero W (M,N) of a format, every array on its own SharedArrayBuffer; a file reader fills it. */
export function allocateFrozen(format: WeightFormat, rows: number, cols: number): FrozenWeight {
  const size = rows * cols
  const blocks = rows * blocksPerRow(cols)
  const halves = (): Uint16Array => new Uint16Array(new SharedArrayBuffer(blocks * 2))
  switch (format) {
    case "f32":
      return { format, rows, cols, codes: new Float32Array(new SharedArrayBuffer(size * 4)) }
    case "bf16":
      return { format, rows, cols, codes: new Uint16Array(new SharedArrayBuffer(size * 2)) }
    case "q8":
      return { format, rows, cols, codes: new Int8Array(new SharedArrayBuffer(size)), scales: halves() }
    case "q4":
      return {
        format,
        rows,
        cols,
        codes: new Uint8Array(new SharedArrayBuffer(blocks * 16)),
        scales: halves(),
        mins: halves(),
      }
  }
}

/**
 * Writes row `row` of W from f32 `values` (N) into `target`, as `quantize` does. Throws KERNEL_FAILED on values it
 * cannot hold.
 */
export function quantizeRow(target: FrozenWeight, row: number, values: Float32Array): void {
  if (!values.every(Number.isFinite))
    throw new KernelError("KERNEL_FAILED", `quantize row ${row}: expected finite values, got NaN or Infinity`)
  const start = row * target.cols
  switch (target.format) {
    case "f32":
      target.codes.set(values, start)
      return
    case "bf16":
      for (let j = 0; j < values.length; j++) target.codes[start + j] = encodeBf16(values[j]!)
      return
    case "q8":
    case "q4":
      for (let block = 0; block < blocksPerRow(target.cols); block++) {
        const index = row * blocksPerRow(target.cols) + block
        const first = block * QUANT_BLOCK
        const part = values.subarray(first, first + QUANT_BLOCK)
        if (target.format === "q8") quantizeBlock8(target, index, start + first, part)
        else quantizeBlock4(target, index, part)
      }
  }
}

function quantizeBlock8(
  target: FrozenWeight & { format: "q8" },
  index: number,
  start: number,
  values: Float32Array,
): void {
  let largest = 0
  for (const value of values) largest = Math.max(largest, Math.abs(value))
  const scale = storeHalf(target.scales, index, largest / 127)
  for (let j = 0; j < values.length; j++)
    target.codes[start + j] = scale === 0 ? 0 : clamp(Math.round(values[j]! / scale), -127, 127)
}

function quantizeBlock4(target: FrozenWeight & { format: "q4" }, index: number, values: Float32Array): void {
  let lowest = Infinity
  let highest = -Infinity
  for (const value of values) {
    lowest = Math.min(lowest, value)
    highest = Math.max(highest, value)
  }
  const min = storeHalf(target.mins, index, lowest)
  const scale = storeHalf(target.scales, index, (highest - lowest) / 15)
  const code = (value: number | undefined): number =>
    scale === 0 || value === undefined ? 0 : clamp(Math.round((value - min) / scale), 0, 15)
  for (let j = 0; j < 16; j++) target.codes[index * 16 + j] = code(values[j]) | (code(values[j + 16]) << 4)
}

/** Stores f16(value) and returns it as stored: codes are rounded against what a reader will multiply with. */
function storeHalf(halves: Uint16Array, index: number, value: number): number {
  halves[index] = encodeF16(value)
  const stored = decodeF16(halves[index]!)
  if (!Number.isFinite(stored))
    throw new KernelError("KERNEL_FAILED", `quantize: expected scales and minima up to 65504 (f16), got ${value}`)
  return stored
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high)
}
