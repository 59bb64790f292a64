import { expectShape, KernelError } from "./errors.js"
import { decodeBf16, decodeF16 } from "./float-bits.js"

/**
 * Weights that are never trained, held outside tfjs (it has no int8, f16 or bf16 dtype). They stay packed in memory, in
 * training too. All arrays may lie on SharedArrayBuffers, so that worker threads and simulated clients of a process
 * share one copy.
 */
export type WeightFormat = "f32" | "bf16" | "q8" | "q4"

/** Columns that share one scale. */
export const QUANT_BLOCK = 32

/**
 * W (M,N) of y = W x, M = rows = out features, N = cols = in features. With nb = ceil(N / 32) blocks per row:
 * - f32:  codes Float32Array (M,N)
 * - bf16: codes Uint16Array (M,N), the upper halves of the f32 bits
 * - q8:   codes Int8Array (M,N), scales Uint16Array (M,nb) as f16 bits; w = code * scale
 * - q4:   codes Uint8Array (M,nb*16), scales and mins Uint16Array (M,nb) as f16 bits; w = code * scale + min with
 *         code 0..15. Byte j (0..15) of a block holds column j in its low and column j + 16 in its high nibble (as
 *         GGUF's Q4_1 does); columns past N in the last block are ignored.
 */
export type FrozenWeight =
  | { readonly format: "f32"; readonly rows: number; readonly cols: number; readonly codes: Float32Array }
  | { readonly format: "bf16"; readonly rows: number; readonly cols: number; readonly codes: Uint16Array }
  | {
      readonly format: "q8"
      readonly rows: number
      readonly cols: number
      readonly codes: Int8Array
      readonly scales: Uint16Array
    }
  | {
      readonly format: "q4"
      readonly rows: number
      readonly cols: number
      readonly codes: Uint8Array
      readonly scales: Uint16Array
      readonly mins: Uint16Array
    }

/** A frozen low-rank term B_G A_G (scale 1) on top of W: what all rounds so far produced. a (R,N), b (M,R). */
export interface FrozenFactors {
  readonly rank: number
  readonly a: Float32Array
  readonly b: Float32Array
}

/** Throws KERNEL_SHAPE unless every array of `weight` has the length its format, rows and cols say. */
export function checkFrozen(what: string, weight: FrozenWeight): void {
  const { rows, cols } = weight
  if (!Number.isInteger(rows) || !Number.isInteger(cols) || rows < 1 || cols < 1)
    throw new KernelError("KERNEL_SHAPE", `${what}: expected rows and cols of at least 1, got (${rows}, ${cols})`)
  const blocks = rows * blocksPerRow(cols)
  expectShape(
    `${what}.codes (${weight.format})`,
    weight.format === "q4" ? blocks * 16 : rows * cols,
    weight.codes.length,
  )
  if (weight.format === "q8" || weight.format === "q4") expectShape(`${what}.scales`, blocks, weight.scales.length)
  if (weight.format === "q4") expectShape(`${what}.mins`, blocks, weight.mins.length)
}

/** ceil(cols / 32): blocks of one row, the last one possibly short. */
export function blocksPerRow(cols: number): number {
  return Math.ceil(cols / QUANT_BLOCK)
}

/** Bytes the packed weight takes in memory. */
export function frozenBytes(weight: FrozenWeight): number {
  const scales = weight.format === "q8" || weight.format === "q4" ? weight.scales.byteLength : 0
  return weight.codes.byteLength + scales + (weight.format === "q4" ? weight.mins.byteLength : 0)
}

/**
 * Row `row` of W as f32 into `out` from `offset` on (cols values). Exact: every product and sum is rounded to f32 once.
 */
export function dequantizeRow(weight: FrozenWeight, row: number, out: Float32Array, offset = 0): void {
  const { cols } = weight
  const start = row * cols
  switch (weight.format) {
    case "f32":
      out.set(weight.codes.subarray(start, start + cols), offset)
      return
    case "bf16":
      for (let j = 0; j < cols; j++) out[offset + j] = decodeBf16(weight.codes[start + j]!)
      return
    case "q8":
    case "q4":
      for (let block = 0; block < blocksPerRow(cols); block++) dequantizeBlock(weight, row, block, out, offset)
  }
}

function dequantizeBlock(
  weight: FrozenWeight & { format: "q8" | "q4" },
  row: number,
  block: number,
  out: Float32Array,
  offset: number,
): void {
  const first = block * QUANT_BLOCK
  const length = Math.min(QUANT_BLOCK, weight.cols - first)
  const index = row * blocksPerRow(weight.cols) + block
  const scale = decodeF16(weight.scales[index]!)
  if (weight.format === "q8") {
    const start = row * weight.cols + first
    for (let j = 0; j < length; j++) out[offset + first + j] = weight.codes[start + j]! * scale
    return
  }
  const min = decodeF16(weight.mins[index]!)
  for (let j = 0; j < length; j++) {
    const byte = weight.codes[index * 16 + (j % 16)]!
    out[offset + first + j] = (j < 16 ? byte & 15 : byte >>> 4) * scale + min
  }
}
