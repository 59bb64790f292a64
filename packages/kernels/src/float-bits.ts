/** f16 (IEEE 754 binary16) and bf16 as bit patterns; encoding rounds once, to nearest, ties to even. */

const F16_OVERFLOW = 65520 // 65504 + half a unit in its last place; ties go to the even neighbour, infinity
const INTEGER_BOUNDARY = 2 ** 52 // adding and subtracting it rounds a double to an integer, ties to even

/** Bits of the f16 nearest to `value` (a double: no second rounding through f32). NaN becomes 0x7e00. */
export function encodeF16(value: number): number {
  if (Number.isNaN(value)) return 0x7e00
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(value)
  if (magnitude >= F16_OVERFLOW) return sign | 0x7c00
  const exponent = Math.max(exponentOf(magnitude), -14) // below 2^-14 the unit stays 2^-24: subnormals
  const units = magnitude * 2 ** (10 - exponent) + INTEGER_BOUNDARY - INTEGER_BOUNDARY
  return sign | (((exponent + 14) << 10) + units) // a carry out of the mantissa is the next exponent
}

/** Exact value of f16 bits. */
export function decodeF16(bits: number): number {
  return f16Values()[bits & 0xffff]!
}

/** Upper half of the f32 bits of `value` after rounding; NaN stays NaN. */
export function encodeBf16(value: number): number {
  wordFloat[0] = value
  const bits = word[0]!
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) / 0x10000) & 0xffff
}

/** Exact value of bf16 bits. */
export function decodeBf16(bits: number): number {
  word[0] = bits << 16
  return wordFloat[0]!
}

const word = new Uint32Array(1)
const wordFloat = new Float32Array(word.buffer)
const double = new Float64Array(1)
const doubleWords = new Uint32Array(double.buffer)

/** floor(log2(magnitude)) for normal doubles; Math.log2 rounds up just under powers of two. */
function exponentOf(magnitude: number): number {
  double[0] = magnitude
  return ((doubleWords[1]! >>> 20) & 0x7ff) - 1023
}

let f16Table: Float32Array | undefined

function f16Values(): Float32Array {
  f16Table ??= Float32Array.from({ length: 0x10000 }, (_, bits) => {
    const sign = bits & 0x8000 ? -1 : 1
    const exponent = (bits >>> 10) & 0x1f
    const mantissa = bits & 0x3ff
    if (exponent === 0x1f) return mantissa === 0 ? sign * Infinity : NaN
    return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25)
  })
  return f16Table
}
