import { decodeBf16, decodeF16 } from "./float-bits.js"
import { blocksPerRow, checkFrozen, NF4_BLOCK, NF4_GROUP, QUANT_BLOCK, SUPER_BLOCK } from "./frozen.js"
import type { FrozenOf, FrozenWeight } from "./frozen.js"
import { NF4_LEVELS } from "./nf4.js"

/** Where a row goes: `out` from `offset` on. */
interface Target {
  readonly out: Float32Array
  readonly offset: number
}

/**
 * Row `row` of W as f32 into `out` from `offset` on (cols values). Exact but for one rounding to f32: every product of
 * a code with its scales has at most 24 bits, so only the sum with a minimum rounds. For nf4 the scale is rounded to
 * f32 (superScale * scale + offset at once), then its product with the level.
 */
export function dequantizeRow(weight: FrozenWeight, row: number, out: Float32Array, offset = 0): void {
  const target = { out, offset }
  const { cols } = weight
  const start = row * cols
  switch (weight.format) {
    case "f32":
      out.set(weight.codes.subarray(start, start + cols), offset)
      return
    case "bf16":
      for (let j = 0; j < cols; j++) out[offset + j] = decodeBf16(weight.codes[start + j]!)
      return
    case "f16":
      for (let j = 0; j < cols; j++) out[offset + j] = decodeF16(weight.codes[start + j]!)
      return
    case "q8":
      for (let block = 0; block < blocksPerRow(cols); block++) block8(weight, row, block, target)
      return
    case "q4":
    case "q5":
      for (let block = 0; block < blocksPerRow(cols); block++) blockWithMin(weight, row, block, target)
      return
    case "q4k":
    case "q5k":
      for (let block = 0; block < blocksPerRow(cols); block++) blockOfTwoLevels(weight, row, block, target)
      return
    case "q6k":
      dequantize6(weight, row, target)
      return
    case "nf4":
      dequantizeNf4(weight, row, target)
  }
}

/** All of W as f32 (M,N); for tests and small weights, 4 bytes per element. */
export function dequantize(weight: FrozenWeight): Float32Array {
  checkFrozen("dequantize", weight)
  const values = new Float32Array(weight.rows * weight.cols)
  for (let row = 0; row < weight.rows; row++) dequantizeRow(weight, row, values, row * weight.cols)
  return values
}

function block8(weight: FrozenOf<"q8">, row: number, block: number, { out, offset }: Target): void {
  const first = block * QUANT_BLOCK
  const end = Math.min(first + QUANT_BLOCK, weight.cols)
  const scale = decodeF16(weight.scales[row * blocksPerRow(weight.cols) + block]!)
  for (let j = first; j < end; j++) out[offset + j] = weight.codes[row * weight.cols + j]! * scale
}

function blockWithMin(weight: FrozenOf<"q4" | "q5">, row: number, block: number, target: Target): void {
  const index = row * blocksPerRow(weight.cols) + block
  affine(weight, { row, block, scale: decodeF16(weight.scales[index]!), min: decodeF16(weight.mins[index]!) }, target)
}

function blockOfTwoLevels(weight: FrozenOf<"q4k" | "q5k">, row: number, block: number, target: Target): void {
  const index = row * blocksPerRow(weight.cols) + block
  const above = Math.floor(index / (SUPER_BLOCK / QUANT_BLOCK))
  const scale = decodeF16(weight.superScales[above]!) * weight.scales[index]!
  const min = -(decodeF16(weight.superMins[above]!) * weight.mins[index]!)
  affine(weight, { row, block, scale, min }, target)
}

/** code * scale + min over one block of 32 columns; codes are nibbles or bytes. */
function affine(
  weight: FrozenOf<"q4" | "q5" | "q4k" | "q5k">,
  { row, block, scale, min }: { row: number; block: number; scale: number; min: number },
  { out, offset }: Target,
): void {
  const first = block * QUANT_BLOCK
  const length = Math.min(QUANT_BLOCK, weight.cols - first)
  const nibbles = weight.format === "q4" || weight.format === "q4k"
  const start = nibbles ? (row * blocksPerRow(weight.cols) + block) * 16 : row * weight.cols + first
  for (let j = 0; j < length; j++)
    out[offset + first + j] = (nibbles ? nibble(weight.codes, start, j) : weight.codes[start + j]!) * scale + min
}

/** Code of column `j` (0..31) of a block whose 16 bytes begin at `start`. */
function nibble(codes: Uint8Array, start: number, j: number): number {
  const byte = codes[start + (j % 16)]!
  return j < 16 ? byte & 15 : byte >>> 4
}

function dequantize6(weight: FrozenOf<"q6k">, row: number, { out, offset }: Target): void {
  const { cols, codes, scales, superScales } = weight
  const start = row * cols
  for (let j = 0; j < cols; j++) {
    const at = start + j
    const scale = decodeF16(superScales[Math.floor(at / SUPER_BLOCK)]!) * scales[Math.floor(at / 16)]!
    out[offset + j] = scale * codes[at]!
  }
}

function dequantizeNf4(weight: FrozenOf<"nf4">, row: number, { out, offset }: Target): void {
  const { cols } = weight
  const blocks = Math.ceil(cols / NF4_BLOCK)
  for (let j = 0; j < cols; j++) {
    const block = row * blocks + Math.floor(j / NF4_BLOCK)
    const start = (block * 2 + Math.floor((j % NF4_BLOCK) / QUANT_BLOCK)) * 16
    out[offset + j] = NF4_LEVELS[nibble(weight.codes, start, j % QUANT_BLOCK)]! * nf4Scale(weight, block)
  }
}

/** The f32 that block `index` of the whole matrix multiplies its levels with. */
function nf4Scale({ scales, superScales, offset }: FrozenOf<"nf4">, index: number): number {
  return Math.fround(superScales[Math.floor(index / NF4_GROUP)]! * scales[index]! + offset[0]!)
}
