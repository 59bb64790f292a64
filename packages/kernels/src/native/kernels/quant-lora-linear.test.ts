import * as tf from "@tensorflow/tfjs-core"

import { dropMask } from "../../drop-hash.js"
import { decodeBf16, encodeBf16 } from "../../float-bits.js"
import type { TargetFormat } from "../../quantize.js"
import { initKernels } from "../../init.js"
import type { LinearGradAttrs, Precision } from "../../ops/kernel-args.js"
import { runMany } from "../../ops/run-kernel.js"
import { dequantize } from "../../dequantize.js"
import { quantize } from "../../quantize.js"
import { eachIsa, expectSameBits, expectSameOnThreads, NATIVE, valuesOn } from "../../testing/native.js"
import { expectClose } from "../../testing/expect-close.js"
import { seededRandom } from "../../testing/random.js"
import { addon } from "../addon.js"

interface Case {
  readonly tokens: number
  readonly cols: number
  readonly rows: number
  readonly rank: number
  readonly globalRank: number
  readonly format: TargetFormat
  readonly precision: Precision
  readonly dropout: number
  /** What the sums begin with; default: the bias. */
  readonly start?: readonly ("bias" | "plus")[]
}

function setUp({ tokens, cols, rows, rank, globalRank, format, precision, dropout, start = ["bias"] }: Case) {
  const random = seededRandom(tokens * 7 + cols * 3 + rows + rank)
  const weight = quantize({ rows, cols, values: random.floats(rows * cols) }, format)
  const attrs: LinearGradAttrs = {
    weight,
    bias: start.includes("bias") ? random.floats(rows) : undefined,
    global:
      globalRank > 0
        ? { rank: globalRank, a: random.floats(globalRank * cols), b: random.floats(rows * globalRank) }
        : undefined,
    scale: 1.5,
    dropout,
    dropoutSeed: 77,
    precision,
    needsDx: true,
  }
  const arrays = {
    x: random.floats(tokens * cols),
    dy: random.floats(tokens * rows),
    a: random.floats(rank * cols),
    b: random.floats(rows * rank),
    plusY: start.includes("plus") ? random.floats(tokens * rows) : undefined,
    plusDx: start.includes("plus") ? random.floats(tokens * cols) : undefined,
  }
  const tensors = (): Record<"x" | "dy", tf.Tensor> & { a?: tf.Tensor; b?: tf.Tensor } => ({
    x: tf.tensor2d(arrays.x, [tokens, cols]),
    dy: tf.tensor2d(arrays.dy, [tokens, rows]),
    ...(rank > 0 ? { a: tf.tensor2d(arrays.a, [rank, cols]), b: tf.tensor2d(arrays.b, [rows, rank]) } : {}),
  })
  const run = (): tf.Tensor[] => {
    const { dy, ...inputs } = tensors()
    const plusY = arrays.plusY && tf.tensor2d(arrays.plusY, [tokens, rows])
    const plusDx = arrays.plusDx && tf.tensor2d(arrays.plusDx, [tokens, cols])
    return [
      ...[runMany("QuantLoraLinear", { ...inputs, plus: plusY }, attrs)].flat(),
      ...runMany("QuantLoraLinearGrad", { dy, ...inputs, plus: plusDx }, attrs),
    ]
  }
  return { weight, attrs, arrays, run }
}

/** Rows (p,q) times the rows of another (s,q), in f64: out[i][j] = sum_k left[i][k] right[j][k]. */
function times(left: number[][], right: number[][]): number[][] {
  return left.map((l) => right.map((r) => l.reduce((sum, value, k) => sum + value * r[k]!, 0)))
}
function rowsOf(values: ArrayLike<number>, rows: number, cols: number): number[][] {
  return Array.from({ length: rows }, (_, i) => Array.from({ length: cols }, (_, j) => values[i * cols + j]!))
}
function turned(values: number[][], width: number): number[][] {
  return Array.from({ length: width }, (_, j) => values.map((row) => row[j]!))
}
function plus(left: number[][], right: number[][], factor = 1): number[][] {
  return left.map((row, i) => row.map((value, j) => value + factor * right[i]![j]!))
}

/**
 * What the frozen products do to their inputs on this instruction set: a row (left) or a column (right) of the summed
 * index.
 */
function roundingOf(precision: Precision): (row: number[]) => number[] {
  const family = { f32: "f32", bf16: addon().bf16Family(), int8: addon().int8Family() }[precision]
  if (family === "f32") return (row) => row
  if (family === "int8-vnni") return roundToBytes
  return (row) => row.map((v) => decodeBf16(encodeBf16(Math.fround(v))))
}

/** Pieces of equal length, at most 576 and a multiple of 32, each rounded to 255 levels of its largest value. */
function roundToBytes(row: number[]): number[] {
  const parts = Math.ceil(row.length / 576)
  const length = Math.ceil(Math.ceil(row.length / parts) / 32) * 32
  return Array.from({ length: parts }, (_, i) => row.slice(i * length, (i + 1) * length)).flatMap((piece) => {
    const top = Math.fround(piece.reduce((most, v) => Math.max(most, Math.abs(v)), 0))
    const [step, inverse] = [Math.fround(top / 127), Math.fround(127 / top)]
    return piece.map((v) => (top === 0 ? 0 : step * roundHalfEven(Math.fround(Math.fround(v) * inverse))))
  })
}
function roundHalfEven(v: number): number {
  const rounded = Math.round(v)
  return Math.abs(v % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded
}

/**
 * y, dx, da, db from the contract, in f64; `round` is what the frozen products do to their inputs. Going forward, up to
 * four tokens are not rounded: they wait for memory (native/gemv.cpp).
 */
function oracle(
  { weight, attrs, arrays }: ReturnType<typeof setUp>,
  c: Case,
  round: (row: number[]) => number[],
): number[][][] {
  const w = rowsOf(dequantize(weight), c.rows, c.cols)
  const rounded = (m: number[][]): number[][] => m.map(round)
  const [x, dy] = [rowsOf(arrays.x, c.tokens, c.cols), rowsOf(arrays.dy, c.tokens, c.rows)]
  const [a, b] = [rowsOf(arrays.a, c.rank, c.cols), rowsOf(arrays.b, c.rows, c.rank)]
  const forward = c.tokens <= 4 ? (m: number[][]): number[][] => m : rounded
  const start = (values: Float32Array | undefined, product: number[][], cols: number): number[][] =>
    values ? plus(product, rowsOf(values, c.tokens, cols)) : product
  const bias = attrs.bias ?? new Float32Array(c.rows)
  let y = times(forward(x), forward(w)).map((row) => row.map((value, j) => value + bias[j]!))
  y = start(arrays.plusY, y, c.rows)
  let dx = start(arrays.plusDx, times(rounded(dy), rounded(turned(w, c.cols))), c.cols)
  if (attrs.global) {
    const [ga, gb] = [rowsOf(attrs.global.a, c.globalRank, c.cols), rowsOf(attrs.global.b, c.rows, c.globalRank)]
    // as frozen as the base: its products round their inputs too, the inner one's result among them
    const through = (as: typeof rounded, v: number[][], inner: number[][], outer: number[][]): number[][] =>
      times(as(times(as(v), as(inner))), as(outer))
    y = plus(y, through(forward, x, ga, gb))
    dx = plus(dx, through(rounded, dy, turned(gb, c.globalRank), turned(ga, c.cols)))
  }
  if (c.rank === 0) return [y, dx]
  const mask = rowsOf(dropMask(attrs.dropoutSeed, c.dropout, c.tokens * c.cols), c.tokens, c.cols)
  const seen = x.map((row, i) => row.map((value, j) => value * mask[i]![j]!))
  const [h, g] = [times(seen, a), times(dy, turned(b, c.rank))]
  y = plus(y, times(h, b), attrs.scale)
  const branch = times(g, turned(a, c.cols)).map((row, i) => row.map((value, j) => value * mask[i]![j]!))
  dx = plus(dx, branch, attrs.scale)
  const da = times(turned(g, c.rank), turned(seen, c.cols)).map((row) => row.map((value) => value * attrs.scale))
  const db = times(turned(dy, c.rows), turned(h, c.rank)).map((row) => row.map((value) => value * attrs.scale))
  return [y, dx, da, db]
}

const base: Case = {
  tokens: 17,
  cols: 33,
  rows: 15,
  rank: 3,
  globalRank: 0,
  format: "q8",
  precision: "f32",
  dropout: 0,
}
const cases: Case[] = [
  ...[1, 15, 16, 17, 33].map((n) => ({ ...base, tokens: n, cols: 34 - n, rows: n + 16 })),
  ...(["f32", "bf16", "q8", "q4"] as const).flatMap((format) =>
    (["f32", "bf16", "int8"] as const).map((precision) => ({
      ...base,
      tokens: 35,
      cols: 65,
      rows: 63,
      rank: 9,
      format,
      precision,
    })),
  ),
  { ...base, tokens: 40, cols: 96, rows: 48, rank: 0, precision: "bf16" },
  ...(["f32", "bf16", "int8"] as const).flatMap((precision) =>
    [[], ["plus"], ["bias", "plus"]].flatMap((start) =>
      [3, 31].map((tokens) => {
        const shape = { tokens, cols: 650, rows: 45, dropout: tokens === 31 ? 0.3 : 0 }
        return { ...base, ...shape, precision, start: start as Case["start"] }
      }),
    ),
  ),
  { ...base, tokens: 31, cols: 64, rows: 70, rank: 1, globalRank: 5, precision: "bf16", dropout: 0.3 },
  { ...base, tokens: 31, cols: 64, rows: 70, rank: 17, globalRank: 20, dropout: 0.9 },
  { ...base, tokens: 3, cols: 600, rows: 5, rank: 2, format: "q4", precision: "bf16" },
  { ...base, tokens: 2, cols: 5, rows: 1100, rank: 2, precision: "bf16" },
  { ...base, tokens: 5, cols: 600, rows: 5, rank: 2, format: "q4", precision: "bf16" },
  { ...base, tokens: 6, cols: 5, rows: 1100, rank: 2, precision: "bf16" },
  ...[1, 15, 16, 17, 33, 31, 63, 65].map((n) => ({
    ...{ ...base, tokens: n, cols: 66 - n, rows: n + 16, rank: n % 4 },
    precision: "int8" as const,
  })),
  { ...base, tokens: 31, cols: 64, rows: 70, rank: 1, globalRank: 5, precision: "int8", dropout: 0.3 },
  { ...base, tokens: 15, cols: 900, rows: 5, rank: 2, globalRank: 3, format: "q4", precision: "int8" },
  { ...base, tokens: 2, cols: 5, rows: 1100, rank: 2, precision: "int8" },
]

test.each(cases)("y, dx, da and db equal a double-precision oracle on every instruction set: %j", async (c) => {
  const made = setUp(c)
  await eachIsa(async () => {
    const expected = oracle(made, c, roundingOf(c.precision))
    const actual = await valuesOn(NATIVE, made.run)
    expect(actual.length).toBe(expected.length)
    // Sums of K terms below 1.5 in size: |error| <= K 2^-24 per sum and term, K 2^-24 sqrt(K) for random signs; up to
    // three sums follow each other (x A^T, its product with B, the total), so 4 K 2^-24 of the largest value covers
    // it. A product too many or missing shows as 1/sqrt(K), at least 0.03.
    const longest = Math.max(c.cols, c.rows, c.tokens) + c.rank + c.globalRank
    for (const [index, values] of expected.entries())
      expectClose(actual[index]!, values.flat(), { relative: 4 * longest * 2 ** -24, absolute: 1e-6 })
  })
})

test("results are the same bits on 1, 2 and 5 threads", async () => {
  for (const precision of ["f32", "bf16", "int8"] as const) {
    const made = setUp({ ...base, tokens: 333, cols: 192, rows: 512, rank: 8, globalRank: 4, precision, dropout: 0.1 })
    await expectSameOnThreads(made.run)
  }
})

test("zero tokens give empty outputs and zero factor gradients", async () => {
  const [y, dx, da, db] = await valuesOn(NATIVE, setUp({ ...base, tokens: 0 }).run)
  expect([y!.length, dx!.length]).toEqual([0, 0])
  expect(Math.max(...da!.map(Math.abs), ...db!.map(Math.abs))).toBe(0)
})

test("da and db alone are returned when dx is not wanted, dx alone without an adapter", async () => {
  const made = setUp(base)
  const all = await valuesOn(NATIVE, made.run)
  const { dy, x, a, b } = made.arrays
  const inputs = () => ({
    dy: tf.tensor2d(dy, [17, 15]),
    x: tf.tensor2d(x, [17, 33]),
    a: tf.tensor2d(a, [3, 33]),
    b: tf.tensor2d(b, [15, 3]),
  })
  const factors = await valuesOn(NATIVE, () =>
    runMany("QuantLoraLinearGrad", inputs(), { ...made.attrs, needsDx: false }),
  )
  expectSameBits(factors, all.slice(2))
  const { dy: gradient, x: input } = { dy: tf.tensor2d(dy, [17, 15]), x: tf.tensor2d(x, [17, 33]) }
  expect(runMany("QuantLoraLinearGrad", { dy: gradient, x: input }, made.attrs)).toHaveLength(1)
})

test("arrays shorter than their shapes are refused before anything is computed", async () => {
  await initKernels({ backend: "native" })
  const { attrs, arrays } = setUp(base)
  const inputs = { x: tf.tensor2d(arrays.x, [17, 33]) }
  const short = { ...attrs.weight, codes: attrs.weight.codes.subarray(1) }
  expect(() => runMany("QuantLoraLinear", inputs, { ...attrs, weight: short })).toThrow(
    expect.objectContaining({ code: "KERNEL_SHAPE" }),
  )
  expect(() => runMany("QuantLoraLinear", inputs, { ...attrs, bias: new Float32Array(14) })).toThrow(
    expect.objectContaining({ code: "KERNEL_SHAPE" }),
  )
  expect(() => runMany("QuantLoraLinear", inputs, { ...attrs, dropout: 1 })).toThrow(
    expect.objectContaining({ code: "KERNEL_SHAPE" }),
  )
  const wrong = { x: tf.tensor2d(arrays.x.slice(0, 16 * 33), [16, 33]), dy: tf.tensor2d(arrays.dy, [17, 15]) }
  expect(() => runMany("QuantLoraLinearGrad", wrong, attrs)).toThrow(expect.objectContaining({ code: "KERNEL_SHAPE" }))
})

test("weights, factors and bias may lie on SharedArrayBuffers", async () => {
  const made = setUp({ ...base, globalRank: 2 })
  expect(made.attrs.weight.codes.buffer).toBeInstanceOf(SharedArrayBuffer)
  const shared = (values: Float32Array): Float32Array => {
    const copy = new Float32Array(new SharedArrayBuffer(values.byteLength))
    copy.set(values)
    return copy
  }
  const { attrs } = made
  const moved = {
    ...attrs,
    bias: shared(attrs.bias!),
    global: { ...attrs.global!, a: shared(attrs.global!.a), b: shared(attrs.global!.b) },
  }
  const y = (with_: object) => () => runMany("QuantLoraLinear", { x: tf.tensor2d(made.arrays.x, [17, 33]) }, with_)
  expectSameBits(await valuesOn(NATIVE, y(moved)), await valuesOn(NATIVE, y(attrs)))
})

test("what is not a number in a row of x or dy comes out as not a number, in every precision", async () => {
  for (const precision of ["f32", "bf16", "int8"] as const) {
    const made = setUp({ ...base, rank: 0, precision })
    made.arrays.x[5] = NaN
    made.arrays.dy[20] = Infinity
    await eachIsa(async () => {
      const [y, dx] = await valuesOn(NATIVE, made.run)
      // x[5] lies in row 0 (33 columns), dy[20] in row 1 (15 columns)
      expect(y!.slice(0, 15).every((v) => Number.isNaN(v))).toBe(true)
      expect(dx!.slice(33, 66).some((v) => Number.isFinite(v))).toBe(false)
      expect([...y!.slice(15), ...dx!.slice(0, 33), ...dx!.slice(66)].every((v) => Number.isFinite(v))).toBe(true)
    })
  }
})

test("int8 keeps rows of tiny values, rows of zeros and outliers in another piece apart", async () => {
  const made = setUp({ ...base, tokens: 3, cols: 768, rows: 16, rank: 0, precision: "int8" })
  const { x } = made.arrays
  x.fill(0, 0, 768)
  for (let k = 768; k < 2 * 768; k++) x[k]! *= 1e-25
  x[2 * 768 + 700] = 1e6
  await eachIsa(async () => {
    const [y] = await valuesOn(NATIVE, made.run)
    const [expected] = oracle(made, { ...base, tokens: 3, cols: 768, rows: 16, rank: 0 }, roundingOf("int8"))
    expect(Array.from(y!.slice(0, 16))).toEqual(Array.from(made.attrs.bias!))
    // as in the oracle test above, of each row's largest value: the last row's is 1e6
    for (const t of [1, 2])
      expectClose(y!.slice(t * 16, (t + 1) * 16), expected![t]!, { relative: 4 * 768 * 2 ** -24, absolute: 1e-6 })
  })
})
