import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "./float-bits.js"
import { seededRandom } from "./testing/random.js"

test("every f16 bit pattern but NaN survives decode and encode", () => {
  for (let bits = 0; bits < 0x10000; bits++) {
    const value = decodeF16(bits)
    if (Number.isNaN(value)) continue
    if (encodeF16(value) !== bits) throw new Error(`0x${bits.toString(16)} became 0x${encodeF16(value).toString(16)}`)
  }
  expect([decodeF16(0x0001), decodeF16(0x03ff), decodeF16(0x0400), decodeF16(0x3c00), decodeF16(0x7bff)]).toEqual([
    2 ** -24, // smallest subnormal
    1023 * 2 ** -24, // largest subnormal
    2 ** -14, // smallest normal
    1,
    65504, // largest
  ])
})

test("f16 encoding rounds halfway cases to even, once, and overflows to infinity", () => {
  for (let bits = 0; bits < 0x7bff; bits++) {
    const middle = (decodeF16(bits) + decodeF16(bits + 1)) / 2 // exact in f64
    const even = bits % 2 === 0 ? bits : bits + 1
    if (encodeF16(middle) !== even) throw new Error(`midpoint above 0x${bits.toString(16)}`)
    // 2^-40 of the value is lost in f32 but not in f64: rounding through f32 would see the midpoint itself
    if (encodeF16(middle * (1 + 2 ** -40)) !== bits + 1)
      throw new Error(`just above midpoint over 0x${bits.toString(16)}`)
    if (encodeF16(middle * (1 - 2 ** -40)) !== bits) throw new Error(`just under midpoint over 0x${bits.toString(16)}`)
  }
  expect([65519.99, 65520, -65520, Infinity, 2 ** -25, 2 ** -25 * 1.001, -0].map(encodeF16)).toEqual([
    0x7bff, 0x7c00, 0xfc00, 0x7c00, 0, 1, 0x8000,
  ])
  expect(decodeF16(encodeF16(NaN))).toBeNaN()
})

test("bf16 is the nearest of the two neighbouring upper halves, ties to even", () => {
  // 1 + 2^-8 lies between 1 (0x3f80) and 1 + 2^-7 (0x3f81): even is 0x3f80; 1 + 3·2^-8 between 0x3f81 and 0x3f82: even
  // is 0x3f82
  expect([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -1, Infinity].map(encodeBf16)).toEqual([
    0x3f80, 0x3f80, 0x3f82, 0x3f81, 0xbf80, 0x7f80,
  ])
  expect(decodeBf16(encodeBf16(NaN))).toBeNaN()
  const random = seededRandom(1)
  for (const value of random.floats(1000)) {
    // 8 bits of precision: half a unit is at most 2^-8 of the value
    expect(Math.abs(decodeBf16(encodeBf16(value)) - value)).toBeLessThanOrEqual(2 ** -8 * Math.abs(value))
  }
})
