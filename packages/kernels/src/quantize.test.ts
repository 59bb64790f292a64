import type { KernelError } from "./errors.js"
import { decodeF16 } from "./float-bits.js"
import { frozenBytes } from "./frozen.js"
import type { FrozenWeight } from "./frozen.js"
import { dequantize } from "./dequantize.js"
import { NF4_LEVELS } from "./nf4.js"
import { quantizationError, quantize, QUANTIZED_TO, requantize } from "./quantize.js"
import { seededRandom } from "./testing/random.js"

const shapes = [1, 15, 31, 32, 33, 64, 70].map((cols) => ({ rows: 3, cols }))

test.each(shapes)("q8 is off by at most half a stored scale, $cols columns", ({ rows, cols }) => {
  const values = seededRandom(cols).floats(rows * cols)
  const weight = quantize({ rows, cols, values }, "q8")
  if (weight.format !== "q8") throw new Error("expected q8")
  const back = dequantize(weight)
  for (const [i, value] of values.entries()) {
    const scale = decodeF16(weight.scales[Math.floor(i / cols) * Math.ceil(cols / 32) + Math.floor((i % cols) / 32)]!)
    // clamping adds: max|w| / scale may be 127 · (1 + 2^-11) after rounding the scale down, 0.06 of a step past 127
    expect(Math.abs(back[i]! - value)).toBeLessThanOrEqual(0.57 * scale)
  }
})

test.each(shapes)(
  "q4 is off by at most half a step plus the rounding of its minimum, $cols columns",
  ({ rows, cols }) => {
    const values = seededRandom(cols).floats(rows * cols)
    const weight = quantize({ rows, cols, values }, "q4")
    if (weight.format !== "q4") throw new Error("expected q4")
    const back = dequantize(weight)
    for (const [i, value] of values.entries()) {
      const scale = decodeF16(weight.scales[Math.floor(i / cols) * Math.ceil(cols / 32) + Math.floor((i % cols) / 32)]!)
      // half a step; where the code is clamped, what rounding min (2^-11 · 1) and 15 scales (15 · 2^-11 · 2/15) moved
      // the ends by
      expect(Math.abs(back[i]! - value)).toBeLessThanOrEqual(0.5 * scale + 3 * 2 ** -11 + 1e-7)
    }
  },
)

test("q4 packs column j low and column j + 16 high, as GGUF does, and values on the grid come back exactly", () => {
  // min -8, scale 0.5: columns 0..15 hold codes 0..15, columns 16..31 codes 15..0
  const values = Float32Array.from({ length: 32 }, (_, j) => -8 + 0.5 * (j < 16 ? j : 31 - j))
  const weight = quantize({ rows: 1, cols: 32, values }, "q4")
  expect(Array.from(weight.codes)).toEqual(Array.from({ length: 16 }, (_, j) => j | ((15 - j) << 4)))
  expect(dequantize(weight)).toEqual(values)
})

test("q8 values on the grid come back exactly, and a zero block stays zero", () => {
  const values = new Float32Array(64)
  values.set([127, -127, 1, -64].map((code) => code * 0.25)) // scale f16(127·0.25/127) = 0.25
  expect(dequantize(quantize({ rows: 1, cols: 64, values }, "q8"))).toEqual(values)
})

test("requantize equals quantizing the dequantized matrix, and lies on shared memory", () => {
  const values = seededRandom(5).floats(5 * 45)
  for (const from of QUANTIZED_TO) {
    const source = quantize({ rows: 5, cols: 45, values }, from)
    for (const to of QUANTIZED_TO) {
      const got = requantize(source, to)
      expect(got).toEqual(quantize({ rows: 5, cols: 45, values: dequantize(source) }, to))
      expect(got.codes.buffer).toBeInstanceOf(SharedArrayBuffer)
    }
  }
})

test("quantizationError is the relative Frobenius error", () => {
  // ||(3,4) - (3,1)|| / ||(3,4)|| = 3 / 5
  const exact: FrozenWeight = { format: "f32", rows: 1, cols: 2, codes: Float32Array.of(3, 4) }
  expect(quantizationError(exact, { ...exact, codes: Float32Array.of(3, 1) })).toBeCloseTo(0.6, 12)
  expect(quantizationError(exact, exact)).toBe(0)
  const values = seededRandom(6).floats(64 * 64)
  const f32 = quantize({ rows: 64, cols: 64, values }, "f32")
  const errors = (["f32", "q8", "bf16", "q4"] as const).map((format) =>
    quantizationError(f32, quantize({ rows: 64, cols: 64, values }, format)),
  )
  expect(errors[0]).toBe(0)
  // uniform in ±1, norm 1/sqrt(3) per value. q8: step 1/127, error step/sqrt(12) -> 0.0039; q4: step 2/15 -> 0.067
  // (blocks span less than ±1)
  expect(errors[1]).toBeGreaterThan(0.003)
  expect(errors[1]).toBeLessThan(0.0042)
  expect(errors[2]).toBeLessThan(2 ** -8)
  expect(errors[3]).toBeGreaterThan(0.05)
  expect(errors[3]).toBeLessThan(0.07)
  // 16 levels for +-1 as well, but set for a bell curve: the mean square of a uniform value's distance to them, sum of
  // gap^3 / 12 over the range of 2, against 1/3
  const gaps = NF4_LEVELS.slice(1).map((level, i) => level - NF4_LEVELS[i]!)
  const uniform = Math.sqrt(gaps.reduce((sum, gap) => sum + gap ** 3 / 12, 0) / 2 / (1 / 3))
  const nf4 = quantizationError(f32, quantize({ rows: 64, cols: 64, values }, "nf4"))
  expect(nf4 / uniform).toBeGreaterThan(0.93)
  expect(nf4 / uniform).toBeLessThan(1.02)
})

test("frozenBytes: 64 columns take 64·4, 64·2, 64·2, 64 + 2·2, 32 + 2·4 and 32 + 1 + 4 + 4 bytes", () => {
  const weight = { rows: 1, cols: 64, values: new Float32Array(64) }
  expect(QUANTIZED_TO.map((format) => frozenBytes(quantize(weight, format)))).toEqual([256, 128, 128, 68, 40, 41])
})

test("f16 rounds to the nearest half and refuses what is past its range", () => {
  // Between 1 and 1 + 2^-10 the middle is a tie, which goes to the even code of 1.
  const values = Float32Array.of(1 + 2 ** -11, 1 + 2 ** -11 + 2 ** -20, -65504, 2 ** -24)
  expect(Array.from(dequantize(quantize({ rows: 1, cols: 4, values }, "f16")))).toEqual([
    1,
    1 + 2 ** -10,
    -65504,
    2 ** -24,
  ])
  expect(() => quantize({ rows: 1, cols: 1, values: Float32Array.of(65520) }, "f16")).toThrow(
    expect.objectContaining({ code: "KERNEL_FAILED" }),
  )
})

test("bf16 refuses what rounds to infinity", () => {
  // the largest is 2^128 - 2^120; half a unit above it, 2^128 - 2^119, is a tie that goes to infinity
  const largest = 2 ** 128 - 2 ** 120
  const quantized = (value: number): unknown =>
    dequantize(quantize({ rows: 1, cols: 1, values: Float32Array.of(value) }, "bf16"))[0]
  expect(quantized(-(largest + 2 ** 118))).toBe(-largest)
  for (const value of [largest + 2 ** 119, -(2 ** 128 - 2 ** 104)])
    expect(() => quantized(value)).toThrow(expect.objectContaining({ code: "KERNEL_FAILED" }))
})

test("nf4 gives back its levels times the largest magnitude of each block, nibbles in the order of q4", () => {
  // Two blocks with the same largest magnitude: their mean is it, and the second level is exact.
  const values = Float32Array.from({ length: 128 }, (_, j) => NF4_LEVELS[(j * 7) % 16]! * 0.75)
  const weight = quantize({ rows: 1, cols: 128, values }, "nf4")
  expect(dequantize(weight)).toEqual(values)
  expect(weight.codes[0]).toBe(0 | (((16 * 7) % 16) << 4))
  expect(weight.codes[33]).toBe(((65 * 7) % 16) | (((81 * 7) % 16) << 4))
})

test.each([1, 63, 64, 65, 130])("nf4 is off by at most half the widest gap of levels, %d columns", (cols) => {
  const rows = 9
  const values = seededRandom(cols).floats(rows * cols)
  const back = dequantize(quantize({ rows, cols, values }, "nf4"))
  // The widest gap is between -1 and -0.696. Scales lie in 0..1, so their step is at most 1 / 127, and half of that is
  // what the second level adds.
  for (const [i, value] of values.entries()) expect(Math.abs(back[i]! - value)).toBeLessThan(0.304 / 2 + 0.5 / 127)
})

test("nf4 of zeros is zeros, also beside other blocks", () => {
  const values = new Float32Array(192)
  values.fill(0.5, 64, 128)
  const back = dequantize(quantize({ rows: 1, cols: 192, values }, "nf4"))
  expect(back.subarray(0, 64).every((value) => value === 0)).toBe(true)
  expect(back.subarray(128).every((value) => value === 0)).toBe(true)
})

test("quantize refuses wrong lengths, values that are not finite and scales past f16", () => {
  const refused = (values: Float32Array): unknown => {
    try {
      return quantize({ rows: 1, cols: 4, values }, "q8")
    } catch (error) {
      return (error as KernelError).code
    }
  }
  expect(refused(new Float32Array(3))).toBe("KERNEL_SHAPE")
  expect(refused(Float32Array.of(0, NaN, 0, 0))).toBe("KERNEL_FAILED")
  expect(refused(Float32Array.of(0, 1e30, 0, 0))).toBe("KERNEL_FAILED")
})
