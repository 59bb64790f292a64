import type { KernelError } from "./errors.js"
import { decodeF16 } from "./float-bits.js"
import { frozenBytes } from "./frozen.js"
import type { FrozenWeight } from "./frozen.js"
import { dequantize, quantizationError, quantize, requantize } from "./quantize.js"
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
  for (const from of ["f32", "bf16", "q8", "q4"] as const) {
    const source = quantize({ rows: 5, cols: 45, values }, from)
    for (const to of ["f32", "bf16", "q8", "q4"] as const) {
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
})

test("frozenBytes: 64 columns take 64·4, 64·2, 64 + 2·2 and 32 + 2·4 bytes", () => {
  const weight = { rows: 1, cols: 64, values: new Float32Array(64) }
  expect((["f32", "bf16", "q8", "q4"] as const).map((format) => frozenBytes(quantize(weight, format)))).toEqual([
    256, 128, 68, 40,
  ])
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
