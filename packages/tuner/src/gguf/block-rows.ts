import { decodeF16, encodeF16 } from "@lamina/kernels"
import type { FrozenOf, FrozenWeight } from "@lamina/kernels"

/**
 * ggml's blocks as the arrays of a FrozenWeight, without rounding. Layouts: ggml-common.h; what they mean:
 * ggml-quants.c (dequantize_row_*). d, m: scale and minimum as half floats; qs: low bits; qh: high bits.
 */

/** Bytes of one row, and where in a weight it goes. */
interface Row {
  readonly bytes: Uint8Array
  /** First byte of the row in `bytes`. */
  readonly start: number
  readonly row: number
}

/** Format a ggml type is held in, and how one row gets there. */
interface BlockReader {
  readonly format: FrozenWeight["format"]
  readonly unpack: (source: Row, into: FrozenWeight) => void
}

/** The ggml types that can be held, by name. */
const READERS: Readonly<Record<string, BlockReader>> = {
  Q4_0: reader("q4", unpackQ40),
  Q4_1: reader("q4", unpackQ41),
  Q5_0: reader("q8", unpackQ50),
  Q5_1: reader("q5", unpackQ51),
  Q8_0: reader("q8", unpackQ80),
  Q4_K: reader("q4k", unpackQ4K),
  Q5_K: reader("q5k", unpackQ5K),
  Q6_K: reader("q6k", unpackQ6K),
}

/** ggml's quantized types that `blockReader` knows. */
export const BLOCK_TYPES: readonly string[] = Object.keys(READERS)

/** How a ggml type is read; undefined for one that cannot be. */
export function blockReader(type: string): BlockReader | undefined {
  return Object.hasOwn(READERS, type) ? READERS[type] : undefined
}

function reader<Format extends FrozenWeight["format"]>(
  format: Format,
  unpack: (source: Row, into: FrozenOf<Format>) => void,
): BlockReader {
  return { format, unpack: unpack as BlockReader["unpack"] }
}

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8)
}

/** d, qs[16]; w = (code - 8) d. -8 d is a half float as well: eight times d, unless that is beyond the largest. */
function unpackQ40({ bytes, start, row }: Row, into: FrozenOf<"q4">): void {
  const blocks = into.cols / 32
  for (let block = 0; block < blocks; block++) {
    const at = start + block * 18
    const index = row * blocks + block
    const scale = u16(bytes, at)
    into.scales[index] = scale
    into.mins[index] = encodeF16(-8 * decodeF16(scale))
    into.codes.set(bytes.subarray(at + 2, at + 18), index * 16)
  }
}

/** d, m, qs[16]; w = code d + m */
function unpackQ41({ bytes, start, row }: Row, into: FrozenOf<"q4">): void {
  const blocks = into.cols / 32
  for (let block = 0; block < blocks; block++) {
    const at = start + block * 20
    const index = row * blocks + block
    into.scales[index] = u16(bytes, at)
    into.mins[index] = u16(bytes, at + 2)
    into.codes.set(bytes.subarray(at + 4, at + 20), index * 16)
  }
}

/** Codes 0..31 of a block of 32: qh[4] at `high`, qs[16] behind it; less `bias`. */
function unpackFive(
  bytes: Uint8Array,
  high: number,
  into: { codes: Uint8Array | Int8Array; at: number; bias: number },
): void {
  const { codes, at, bias } = into
  for (let j = 0; j < 16; j++) {
    const low = bytes[high + 4 + j]!
    const first = (bytes[high + (j >> 3)]! >> (j & 7)) & 1
    const second = (bytes[high + 2 + (j >> 3)]! >> (j & 7)) & 1
    codes[at + j] = ((low & 15) | (first << 4)) - bias
    codes[at + 16 + j] = ((low >> 4) | (second << 4)) - bias
  }
}

/** d, qh[4], qs[16]; w = (code - 16) d */
function unpackQ50({ bytes, start, row }: Row, into: FrozenOf<"q8">): void {
  const blocks = into.cols / 32
  for (let block = 0; block < blocks; block++) {
    const at = start + block * 22
    const index = row * blocks + block
    into.scales[index] = u16(bytes, at)
    unpackFive(bytes, at + 2, { codes: into.codes, at: index * 32, bias: 16 })
  }
}

/** d, m, qh[4], qs[16]; w = code d + m */
function unpackQ51({ bytes, start, row }: Row, into: FrozenOf<"q5">): void {
  const blocks = into.cols / 32
  for (let block = 0; block < blocks; block++) {
    const at = start + block * 24
    const index = row * blocks + block
    into.scales[index] = u16(bytes, at)
    into.mins[index] = u16(bytes, at + 2)
    unpackFive(bytes, at + 4, { codes: into.codes, at: index * 32, bias: 0 })
  }
}

/** d, codes[32]; w = code d */
function unpackQ80({ bytes, start, row }: Row, into: FrozenOf<"q8">): void {
  const blocks = into.cols / 32
  const codes = new Uint8Array(into.codes.buffer, into.codes.byteOffset, into.codes.length)
  for (let block = 0; block < blocks; block++) {
    const at = start + block * 34
    const index = row * blocks + block
    into.scales[index] = u16(bytes, at)
    codes.set(bytes.subarray(at + 2, at + 34), index * 32)
  }
}

/** d, dmin and the 12 bytes that hold 8 scales and 8 mins of 6 bits (get_scale_min_k4). */
function unpackTwoLevels(
  bytes: Uint8Array,
  at: number,
  into: { weight: FrozenOf<"q4k" | "q5k">; index: number },
): void {
  const { weight, index } = into
  weight.superScales[index] = u16(bytes, at)
  weight.superMins[index] = u16(bytes, at + 2)
  const packed = at + 4
  for (let j = 0; j < 4; j++) {
    const scale = bytes[packed + j]!
    const min = bytes[packed + 4 + j]!
    const both = bytes[packed + 8 + j]!
    weight.scales[index * 8 + j] = scale & 63
    weight.mins[index * 8 + j] = min & 63
    weight.scales[index * 8 + 4 + j] = (both & 15) | ((scale >> 6) << 4)
    weight.mins[index * 8 + 4 + j] = (both >> 4) | ((min >> 6) << 4)
  }
}

/** d, dmin, 12 bytes of scales, qs[128]: each 32 bytes are a block in the low and the next in the high nibbles. */
function unpackQ4K({ bytes, start, row }: Row, into: FrozenOf<"q4k">): void {
  const superblocks = into.cols / 256
  const { codes } = into
  for (let block = 0; block < superblocks; block++) {
    const at = start + block * 144
    const index = row * superblocks + block
    unpackTwoLevels(bytes, at, { weight: into, index })
    for (let pair = 0; pair < 4; pair++) {
      const from = at + 16 + pair * 32
      const to = index * 128 + pair * 32
      for (let j = 0; j < 16; j++) {
        const first = bytes[from + j]!
        const second = bytes[from + 16 + j]!
        codes[to + j] = (first & 15) | ((second & 15) << 4)
        codes[to + 16 + j] = (first >> 4) | (second & 0xf0)
      }
    }
  }
}

/** d, dmin, 12 bytes of scales, qh[32], qs[128]: bit b of qh[j] is the fifth bit of column j of block b. */
function unpackQ5K({ bytes, start, row }: Row, into: FrozenOf<"q5k">): void {
  const superblocks = into.cols / 256
  const { codes } = into
  for (let block = 0; block < superblocks; block++) {
    const at = start + block * 176
    const index = row * superblocks + block
    unpackTwoLevels(bytes, at, { weight: into, index })
    for (let pair = 0; pair < 4; pair++) {
      const from = at + 48 + pair * 32
      const to = index * 256 + pair * 64
      for (let j = 0; j < 32; j++) {
        const low = bytes[from + j]!
        const high = bytes[at + 16 + j]! >> (pair * 2)
        codes[to + j] = (low & 15) | ((high & 1) << 4)
        codes[to + 32 + j] = (low >> 4) | ((high & 2) << 3)
      }
    }
  }
}

/** ql[128], qh[64], scales[16] of 8 bits, d: each half of 128 columns has four quarters that share bytes. */
function unpackQ6K({ bytes, start, row }: Row, into: FrozenOf<"q6k">): void {
  const superblocks = into.cols / 256
  const { codes } = into
  for (let block = 0; block < superblocks; block++) {
    const at = start + block * 210
    const index = row * superblocks + block
    for (let half = 0; half < 2; half++) {
      const low = at + half * 64
      const high = at + 128 + half * 32
      const to = index * 256 + half * 128
      for (let j = 0; j < 32; j++) {
        const bits = bytes[high + j]!
        const first = bytes[low + j]!
        const second = bytes[low + 32 + j]!
        codes[to + j] = ((first & 15) | ((bits & 3) << 4)) - 32
        codes[to + 32 + j] = ((second & 15) | ((bits & 12) << 2)) - 32
        codes[to + 64 + j] = ((first >> 4) | (bits & 48)) - 32
        codes[to + 96 + j] = ((second >> 4) | ((bits & 192) >> 2)) - 32
      }
    }
    for (let j = 0; j < 16; j++) into.scales[index * 16 + j] = bytes[at + 192 + j]! // wraps to signed
    into.superScales[index] = u16(bytes, at + 208)
  }
}
