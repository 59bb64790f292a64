import { dequantizeRow } from "./dequantize.js"
import { KernelError } from "./errors.js"
import { decodeF16, encodeBf16, encodeF16 } from "./float-bits.js"
import { allocateFrozen, blocksPerRow, checkFrozen, NF4_BLOCK, NF4_GROUP, QUANT_BLOCK } from "./frozen.js"
import type { FrozenOf, FrozenWeight } from "./frozen.js"
import { nf4Code } from "./nf4.js"

/** A float matrix (M,N), row-major. */
export interface DenseWeight {
  readonly rows: number
  readonly cols: number
  readonly values: Float32Array
}

/** Formats that weights can be quantized to; the others come from files only. */
export const QUANTIZED_TO = ["f32", "bf16", "f16", "q8", "q4", "nf4"] as const
export type TargetFormat = (typeof QUANTIZED_TO)[number]

/**
 * W (M,N) in `format`, on SharedArrayBuffers. f32 copies; bf16 and f16 round to nearest even; q8: scale = f16(max|w| /
 * 127) per block of 32 columns, code = round(w / scale) in -127..127; q4: min = f16(lowest), scale = f16((highest -
 * lowest) / 15), code = round((w - min) / scale) in 0..15; nf4: scale = max|w| per block of 64 columns, code = the
 * level nearest to w / scale, and the scales themselves less their mean, 256 at a time, as int8 of the largest.
 * Throws KERNEL_SHAPE when values and shape disagree, KERNEL_FAILED when a value is not finite, or out of the range of
 * the 16-bit floats that hold it or its scale.
 */
export function quantize<Format extends TargetFormat>(weight: DenseWeight, format: Format): FrozenOf<Format> {
  return requantize({ format: "f32", rows: weight.rows, cols: weight.cols, codes: weight.values }, format)
}

/**
 * The same W in another format, row by row: beyond the result it takes memory for one f32 row. Rounds even when the
 * format stays.
 */
export function requantize<Format extends TargetFormat>(weight: FrozenWeight, format: Format): FrozenOf<Format> {
  checkFrozen("requantize", weight)
  const quantizer = new Quantizer(format, weight.rows, weight.cols)
  const values = new Float32Array(weight.cols)
  for (let row = 0; row < weight.rows; row++) {
    dequantizeRow(weight, row, values)
    quantizer.row(row, values)
  }
  return quantizer.finish()
}

/**
 * ||W' - W||_F / ||W||_F of `approximation` W' against `exact` W of the same shape; 0 when both are zero. Summed in
 * f64.
 */
export function quantizationError(exact: FrozenWeight, approximation: FrozenWeight): number {
  const { errorSq, normSq } = squaredError(exact, approximation)
  return errorSq === 0 ? 0 : Math.sqrt(errorSq / normSq)
}

/** ||W' - W||_F^2 and ||W||_F^2, which add up over several W; see `quantizationError`. */
export function squaredError(
  exact: FrozenWeight,
  approximation: FrozenWeight,
): { readonly errorSq: number; readonly normSq: number } {
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
  return { errorSq, normSq }
}

/** Makes a W (M,N) of `format` out of f32 rows that come one at a time, each once, in any order; see `quantize`. */
export class Quantizer<Format extends TargetFormat> {
  readonly #target: FrozenOf<TargetFormat>
  /** nf4 only: the largest magnitude of each block, until `finish` quantizes them. */
  readonly #largest: Float32Array

  constructor(format: Format, rows: number, cols: number) {
    this.#target = allocateFrozen<TargetFormat>(format, rows, cols)
    this.#largest = new Float32Array(this.#target.format === "nf4" ? this.#target.scales.length : 0)
  }

  /** Row `row` of W from `values` (N), which are only read. Throws KERNEL_FAILED on values it cannot hold. */
  row(row: number, values: Float32Array): void {
    if (!values.every(Number.isFinite))
      throw new KernelError("KERNEL_FAILED", `quantize row ${row}: expected finite values, got NaN or Infinity`)
    const target = this.#target
    const start = row * target.cols
    switch (target.format) {
      case "f32":
        target.codes.set(values, start)
        return
      case "bf16":
        for (let j = 0; j < values.length; j++) storeBrainFloat(target.codes, start + j, values[j]!)
        return
      case "f16":
        for (let j = 0; j < values.length; j++) storeHalf(target.codes, start + j, values[j]!)
        return
      case "nf4":
        quantizeRowNf4(target, row, { values, largest: this.#largest })
        return
      default:
        for (let block = 0; block < blocksPerRow(target.cols); block++) {
          const index = row * blocksPerRow(target.cols) + block
          const first = block * QUANT_BLOCK
          const part = values.subarray(first, first + QUANT_BLOCK)
          if (target.format === "q8") quantizeBlock8(target, index, start + first, part)
          else quantizeBlock4(target, index, part)
        }
    }
  }

  /** The whole W, after its last row. */
  finish(): FrozenOf<Format> {
    if (this.#target.format === "nf4") quantizeScales(this.#target, this.#largest)
    return this.#target as FrozenOf<Format>
  }
}

function quantizeBlock8(target: FrozenOf<"q8">, index: number, start: number, values: Float32Array): void {
  const scale = storeHalf(target.scales, index, largestOf(values) / 127)
  for (let j = 0; j < values.length; j++)
    target.codes[start + j] = scale === 0 ? 0 : clamp(Math.round(values[j]! / scale), -127, 127)
}

function quantizeBlock4(target: FrozenOf<"q4">, index: number, values: Float32Array): void {
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

function quantizeRowNf4(
  target: FrozenOf<"nf4">,
  row: number,
  { values, largest }: { values: Float32Array; largest: Float32Array },
): void {
  const blocks = Math.ceil(target.cols / NF4_BLOCK)
  for (let block = 0; block < blocks; block++) {
    const index = row * blocks + block
    const part = values.subarray(block * NF4_BLOCK, (block + 1) * NF4_BLOCK)
    const scale = largestOf(part)
    largest[index] = scale
    const code = (value: number | undefined): number => nf4Code(scale === 0 ? 0 : (value ?? 0) / scale)
    for (let j = 0; j < NF4_BLOCK / 2; j++) {
      const column = j < 16 ? j : j + 16
      target.codes[index * 32 + j] = code(part[column]) | (code(part[column + 16]) << 4)
    }
  }
}

/** The second level of nf4: what the scales differ from their mean by, 256 of them under one f32. */
function quantizeScales(target: FrozenOf<"nf4">, largest: Float32Array): void {
  const mean = Math.fround(largest.reduce((sum, value) => sum + value, 0) / largest.length)
  target.offset[0] = mean
  for (let group = 0; group < target.superScales.length; group++) {
    const part = largest.subarray(group * NF4_GROUP, (group + 1) * NF4_GROUP)
    const step = Math.fround(part.reduce((most, value) => Math.max(most, Math.abs(value - mean)), 0) / 127)
    target.superScales[group] = step
    for (const [i, value] of part.entries())
      target.scales[group * NF4_GROUP + i] = step === 0 ? 0 : clamp(Math.round((value - mean) / step), -127, 127)
  }
}

function largestOf(values: Float32Array): number {
  let largest = 0
  for (const value of values) largest = Math.max(largest, Math.abs(value))
  return largest
}

/** Stores f16(value) and returns it as stored: codes are rounded against what a reader will multiply with. */
function storeHalf(halves: Uint16Array, index: number, value: number): number {
  halves[index] = encodeF16(value)
  const stored = decodeF16(halves[index]!)
  if (!Number.isFinite(stored))
    throw new KernelError("KERNEL_FAILED", `quantize: expected weights, scales and minima up to 65504, got ${value}`)
  return stored
}

/** Stores bf16(value). */
function storeBrainFloat(halves: Uint16Array, index: number, value: number): void {
  const code = encodeBf16(value)
  halves[index] = code
  if ((code & 0x7f80) === 0x7f80)
    // above bf16's largest and a half unit, up to f32's largest
    throw new KernelError("KERNEL_FAILED", `quantize: expected weights up to 3.3895e38 in bf16, got ${value}`)
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high)
}
