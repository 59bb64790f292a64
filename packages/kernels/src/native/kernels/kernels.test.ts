import * as tf from "@tensorflow/tfjs-core"

import type { TargetFormat } from "../../quantize.js"
import { decodeBf16, encodeBf16 } from "../../float-bits.js"
import { initKernels } from "../../init.js"
import { adamw } from "../../ops/adamw.js"
import type { AttentionAttrs, LmHeadAttrs, Precision } from "../../ops/kernel-args.js"
import { ropeTable } from "../../testing/rope-table.js"
import { runMany, runOne } from "../../ops/run-kernel.js"
import { quantize } from "../../quantize.js"
import { expectClose } from "../../testing/expect-close.js"
import { CPU, eachIsa, expectSameBits, expectSameOnThreads, NATIVE, valuesOn } from "../../testing/native.js"
import { seededRandom } from "../../testing/random.js"
import { addon } from "../addon.js"

/** Both backends' results of one body; native on every instruction set. */
async function compare(body: () => tf.Tensor[], bound: { relative: number; absolute: number }): Promise<void> {
  const expected = await valuesOn(CPU, body)
  await eachIsa(async () => {
    const actual = await valuesOn(NATIVE, body)
    expect(actual.length).toBe(expected.length)
    for (const [index, values] of expected.entries()) expectClose(actual[index]!, values, bound)
  })
}

const ODD = [1, 15, 16, 17, 33, 100]

test.each(ODD)("RmsNorm and its gradient equal the reference at width %d", async (d) => {
  const random = seededRandom(d)
  const [x, dy, weight] = [random.floats(7 * d), random.floats(7 * d), random.floats(d)]
  const attrs = { weight, eps: 1e-5 }
  // A mean of d squares, a root and three products: (d + 6) roundings at most, of terms of one sign.
  const relative = (d + 6) * 2 ** -23
  await compare(
    () => {
      const [xt, dyt] = [tf.tensor2d(x, [7, d]), tf.tensor2d(dy, [7, d])]
      const gradients = [undefined, xt].map((plus) => runOne("RmsNormGrad", { dy: dyt, x: xt, plus }, attrs))
      return [runOne("RmsNorm", { x: xt }, attrs), ...gradients]
    },
    { relative, absolute: 1e-6 },
  )
})

test.each(ODD)("LayerNorm and its gradient equal the reference at width %d", async (d) => {
  const random = seededRandom(d)
  const [x, dy] = [random.floats(7 * d), random.floats(7 * d)]
  const attrs = { weight: random.floats(d), bias: random.floats(d), eps: 1e-2 }
  // Means of d terms, a root and a few products: (2 d + 8) roundings at most, against values of about 1.
  const relative = (2 * d + 8) * 2 ** -23
  await compare(
    () => {
      const [xt, dyt] = [tf.tensor2d(x, [7, d]), tf.tensor2d(dy, [7, d])]
      const gradients = [undefined, xt].map((plus) => runOne("LayerNormGrad", { dy: dyt, x: xt, plus }, attrs))
      return [runOne("LayerNorm", { x: xt }, attrs), ...gradients]
    },
    { relative, absolute: 1e-5 },
  )
})

test.each(ODD)("Gelu and its gradient equal the reference over %d columns, far out too", async (cols) => {
  const random = seededRandom(cols)
  const x = random.floats(3 * cols).map((value) => value * 30)
  const dy = random.floats(3 * cols)
  // Both sides take erf to 1.5e-7, times values of up to 30; e^x within 2 ulp and a dozen operations.
  await compare(
    () => {
      const [xt, dyt] = [tf.tensor2d(x, [3, cols]), tf.tensor2d(dy, [3, cols])]
      return [true, false].flatMap((tanh) => [
        runOne("Gelu", { x: xt }, { tanh }),
        runOne("GeluGrad", { dy: dyt, x: xt }, { tanh }),
      ])
    },
    { relative: 16 * 2 ** -23, absolute: 1e-5 },
  )
})

test.each([2, 6, 16, 30, 32, 64])("Rope turns and turns back at head size %d", async (headDim) => {
  const random = seededRandom(headDim)
  const table = ropeTable({ positions: 40, headDim, theta: 10000 })
  const positions = random.integers(9, 40)
  const x = random.floats(9 * 3 * headDim)
  const attrs = { headDim, positions, cos: table.cos, sin: table.sin }
  // Two products and a sum of values below 1: 3 roundings.
  await compare(
    () =>
      [false, true].map((inverse) => runOne("Rope", { x: tf.tensor2d(x, [9, 3 * headDim]) }, { ...attrs, inverse })),
    { relative: 0, absolute: 3 * 2 ** -23 },
  )
})

test.each(ODD)("Swiglu and its gradient equal the reference over %d columns, far out too", async (cols) => {
  const random = seededRandom(cols)
  // Gates to -120 and 120: e^x leaves the range of f32 on both sides.
  const gate = random.floats(3 * cols).map((value) => value * 120)
  const [up, dy] = [random.floats(3 * cols), random.floats(3 * cols)]
  // exp within 2 ulp, a division and four products, times gates of up to 120: relative to the largest result.
  await compare(
    () => {
      const shape: [number, number] = [3, cols]
      const inputs = { gate: tf.tensor2d(gate, shape), up: tf.tensor2d(up, shape) }
      return [runOne("Swiglu", inputs, {}), ...runMany("SwigluGrad", { dy: tf.tensor2d(dy, shape), ...inputs }, {})]
    },
    { relative: 16 * 2 ** -23, absolute: 1e-6 },
  )
})

/** As the native kernels round what waits for a gradient. */
const rounded = (values: Float32Array): Float32Array => values.map((value) => decodeBf16(encodeBf16(value)))

test.each(ODD)(
  "what SwigluKeep keeps gives product and gradient of the rounded inputs, over %d columns",
  async (cols) => {
    const random = seededRandom(cols)
    const gate = random.floats(3 * cols).map((value) => value * 20)
    const [up, dy] = [random.floats(3 * cols), random.floats(3 * cols)]
    const shape: [number, number] = [3, cols]
    for (const precision of ["f32", "bf16", "int8"] as const) {
      const seen = precision === "f32" ? [gate, up] : [rounded(gate), rounded(up)]
      const expected = await valuesOn(NATIVE, () => {
        const [g, u, d] = [seen[0]!, seen[1]!, dy].map((values) => tf.tensor2d(values, shape))
        const forward = runOne("Swiglu", { gate: tf.tensor2d(gate, shape), up: tf.tensor2d(up, shape) }, {})
        return [
          forward,
          runOne("Swiglu", { gate: g, up: u }, {}),
          ...runMany("SwigluGrad", { dy: d, gate: g, up: u }, {}),
        ]
      })
      await eachIsa(async () => {
        const actual = await valuesOn(NATIVE, () => {
          const inputs = { gate: tf.tensor2d(gate, shape), up: tf.tensor2d(up, shape) }
          const [y, first, second] = runMany("SwigluKeep", inputs, { precision })
          const kept = { first, second }
          const grads = runMany("SwigluGradOfKept", { dy: tf.tensor2d(dy, shape), ...kept }, {})
          return [y!, runOne("SwigluOfKept", kept, {}), ...grads]
        })
        for (const [i, values] of expected.entries())
          expectClose(actual[i]!, values, { relative: 2e-6, absolute: 1e-6 })
      })
    }
  },
)

test.each([1, 31, 32, 33, 100, 16385])(
  "Keep rounds %d values to bf16 in half the memory, and f32 not at all",
  async (n) => {
    const values = seededRandom(n).floats(n)
    const expected: Record<Precision, Float32Array> = { f32: values, bf16: rounded(values), int8: rounded(values) }
    for (const precision of ["f32", "bf16", "int8"] as const)
      await eachIsa(async () => {
        const [kept, again] = await valuesOn(NATIVE, () => {
          const kept = runOne("Keep", { x: tf.tensor2d(values, [1, n]) }, { precision })
          return [kept, runOne("Kept", { x: kept }, { precision, shape: [1, n] })]
        })
        expect(kept!.length).toBe(precision === "f32" ? n : Math.ceil(n / 32) * 16)
        expectSameBits([again!], [expected[precision]])
      })
  },
)

const attentionCases: AttentionAttrs[] = [
  { heads: 1, kvHeads: 1, headDim: 1, offsets: Int32Array.of(0, 1), scale: 1 },
  { heads: 4, kvHeads: 2, headDim: 17, offsets: Int32Array.of(0, 33), scale: 0.3 },
  { heads: 3, kvHeads: 1, headDim: 32, offsets: Int32Array.of(0, 1, 17, 50), scale: 0.2 },
  { heads: 2, kvHeads: 2, headDim: 64, offsets: Int32Array.of(0, 31, 100), scale: 0.125 },
  { heads: 2, kvHeads: 1, headDim: 8, offsets: Int32Array.of(0, 530), scale: 0.4 },
  { heads: 1, kvHeads: 1, headDim: 4, offsets: Int32Array.of(0, 1030), scale: 0.5 },
  { heads: 2, kvHeads: 1, headDim: 17, offsets: Int32Array.of(0, 1, 70), scale: 0.3, window: 1 },
  { heads: 4, kvHeads: 2, headDim: 16, offsets: Int32Array.of(0, 33, 133), scale: 0.3, window: 33 },
  { heads: 2, kvHeads: 2, headDim: 8, offsets: Int32Array.of(0, 700), scale: 0.3, window: 37 },
  { heads: 1, kvHeads: 1, headDim: 8, offsets: Int32Array.of(0, 1500), scale: 0.3, window: 600 },
  { heads: 2, kvHeads: 1, headDim: 8, offsets: Int32Array.of(0, 40, 97), scale: 0.3, window: 5000 },
]

function attentionBody(attrs: AttentionAttrs, size = 1): () => tf.Tensor[] {
  const tokens = attrs.offsets[attrs.offsets.length - 1]!
  const [wide, narrow] = [attrs.heads * attrs.headDim, attrs.kvHeads * attrs.headDim]
  const random = seededRandom(tokens + wide)
  const q = random.floats(tokens * wide).map((value) => value * size)
  const [k, v, dy] = [random.floats(tokens * narrow), random.floats(tokens * narrow), random.floats(tokens * wide)]
  return () => {
    const inputs = {
      q: tf.tensor2d(q, [tokens, wide]),
      k: tf.tensor2d(k, [tokens, narrow]),
      v: tf.tensor2d(v, [tokens, narrow]),
    }
    const grads = runMany("CausalAttentionGrad", { dy: tf.tensor2d(dy, [tokens, wide]), ...inputs }, attrs)
    return [runOne("CausalAttention", inputs, attrs), ...grads]
  }
}

test.each(attentionCases)("CausalAttention and its gradient equal the reference: %j", async (attrs) => {
  // Scores: headDim terms; softmax and sums over up to 1100 keys of one sign; dk and dv sum as many queries. Random
  // roundings grow with the root: sqrt(1100) 2^-24 = 2e-6 of the largest value, three sums in a row and the
  // reference's own error: 1.2e-5.
  await compare(attentionBody(attrs), { relative: 1.2e-5, absolute: 1e-6 })
})

test("attention stays finite and exact when scores are in the hundreds", async () => {
  const attrs: AttentionAttrs = { heads: 2, kvHeads: 1, headDim: 16, offsets: Int32Array.of(0, 40), scale: 1 }
  // Scores to 300 carry an absolute error of 300 * 16 * 2^-24 = 3e-4, and so does every weight, relatively.
  await compare(attentionBody(attrs, 100), { relative: 1e-3, absolute: 1e-6 })
})

test("a window as long as the segment changes no bit, and one token's window gives back its value", async () => {
  const attrs: AttentionAttrs = { heads: 2, kvHeads: 2, headDim: 16, offsets: Int32Array.of(0, 90), scale: 0.3 }
  await eachIsa(async () => {
    const all = await valuesOn(NATIVE, attentionBody(attrs))
    expectSameBits(await valuesOn(NATIVE, attentionBody({ ...attrs, window: 90 })), all)
    const [y] = await valuesOn(NATIVE, attentionBody({ ...attrs, window: 1 }))
    // softmax over one score is exp(0) / exp(0) = 1
    const random = seededRandom(90 + 32)
    random.floats(2 * 90 * 32)
    expectSameBits([y!], [random.floats(90 * 32)])
  })
})

test("attention is the same bits on 1, 2 and 5 threads", async () => {
  await expectSameOnThreads(
    attentionBody({ heads: 6, kvHeads: 2, headDim: 20, offsets: Int32Array.of(0, 100, 1200), scale: 0.3 }),
  )
})

test("attention refuses offsets that do not end at the last token, and heads that do not divide", async () => {
  await initKernels({ backend: "native" })
  const x = tf.zeros([4, 8])
  const attrs = { heads: 2, kvHeads: 2, headDim: 4, offsets: Int32Array.of(0, 3), scale: 1 }
  const inputs = { q: x, k: x, v: x }
  const refused = expect.objectContaining({ code: "KERNEL_SHAPE" })
  for (const offsets of [Int32Array.of(0, 3), Int32Array.of(1, 4), Int32Array.of(0, 5, 4), new Int32Array(0)])
    expect(() => runOne("CausalAttention", inputs, { ...attrs, offsets })).toThrow(refused)
  const uneven = { q: tf.zeros([4, 12]), k: x, v: x }
  const three = { ...attrs, heads: 3, offsets: Int32Array.of(0, 4) }
  expect(() => runOne("CausalAttention", uneven, three)).toThrow(refused)
})

test.each(["f32", "bf16", "q8", "q4"] as const)(
  "Embedding rows of a %s table are the reference's, bit by bit",
  async (format) => {
    for (const cols of [1, 15, 16, 17, 33, 64]) {
      const weight = quantize({ rows: 9, cols, values: seededRandom(cols).floats(9 * cols) }, format)
      const ids = Int32Array.of(8, 0, 3, 3, 7)
      const body = (): tf.Tensor[] => [runOne("Embedding", {}, { ids, weight })]
      const expected = await valuesOn(CPU, body)
      await eachIsa(async () => expectSameBits(await valuesOn(NATIVE, body), expected))
    }
  },
)

test("Embedding and the head refuse ids past the vocabulary before reading", async () => {
  await initKernels({ backend: "native" })
  const weight = quantize({ rows: 9, cols: 4, values: new Float32Array(36) }, "q8")
  const refused = expect.objectContaining({ code: "KERNEL_SHAPE" })
  for (const id of [-1, 9, 2 ** 31 - 1])
    expect(() => runOne("Embedding", {}, { ids: Int32Array.of(0, id), weight })).toThrow(refused)
  const head = { weight, needsDx: true, precision: "f32" }
  for (const target of [-2, 9])
    expect(() =>
      runMany("LmHeadCrossEntropy", { x: tf.zeros([1, 4]) }, { ...head, targets: Int32Array.of(target) }),
    ).toThrow(refused)
})

function headBody(
  tokens: number,
  cols: number,
  rows: number,
  format: TargetFormat,
  precision: Precision,
): () => tf.Tensor[] {
  const random = seededRandom(tokens + cols + rows)
  const weight = quantize({ rows, cols, values: random.floats(rows * cols) }, format)
  const x = random.floats(tokens * cols)
  const targets = random.integers(tokens, rows).map((id, t) => (t % 5 === 3 ? -1 : id))
  const attrs: LmHeadAttrs = { weight, targets, needsDx: true, precision }
  return () => runMany("LmHeadCrossEntropy", { x: tf.tensor2d(x, [tokens, cols]) }, attrs)
}

test.each([
  [1, 16, 33],
  [17, 33, 15],
  [33, 64, 100],
  [300, 24, 1000],
  [5, 40, 9000],
])("LmHeadCrossEntropy of %d tokens, width %d, vocabulary %d equals the reference", async (tokens, cols, rows) => {
  for (const format of ["f32", "q8", "q4"] as const)
    // cols products per logit of size up to sqrt(cols), then sums over the vocabulary of terms that add to 1: 2e-6
    // sqrt(cols) covers both.
    await compare(headBody(tokens, cols, rows, format, "f32"), { relative: 2e-6 * Math.sqrt(cols), absolute: 1e-6 })
})

test("the head in bf16 stays within its rounding of the f32 loss", async () => {
  // Each logit is a sum of 64 products with two inputs rounded to 2^-9: error below 2^-8 sqrt(64) / 3 = 1e-2 for
  // random signs; the loss is a mean of those over 27 tokens, dx a mean with weights of p - onehot.
  await compare(headBody(33, 64, 100, "q8", "bf16"), { relative: 1e-2, absolute: 1e-3 })
})

test("the head in int8 stays within its rounding of the f32 loss", async () => {
  // Values below 1.5 in steps of 1.5/127: an error of at most 6e-3, 3.4e-3 in the mean square of an even spread, in
  // either input, whose mean square is 0.6: a logit of 64 products is off by 3.4e-3 x 0.8 x sqrt(2 x 64) = 3e-2 of its
  // 5, softmax by as much; over 27 tokens the loss by 6e-3.
  await compare(headBody(33, 64, 100, "q8", "int8"), { relative: 3e-2, absolute: 3e-3 })
})

test("the head is the same bits on 1, 2 and 5 threads", async () => {
  await expectSameOnThreads(headBody(300, 40, 5000, "q8", "f32"))
  await expectSameOnThreads(headBody(300, 40, 5000, "q8", "bf16"))
  await expectSameOnThreads(headBody(300, 40, 5000, "q8", "int8"))
})

test("a head without counted targets gives loss 0 and dx 0, and no dx when it is not wanted", async () => {
  await initKernels({ backend: "native" })
  const weight = quantize({ rows: 9, cols: 4, values: seededRandom(1).floats(36) }, "f32")
  const attrs: LmHeadAttrs = { weight, targets: Int32Array.of(-1, -1), needsDx: true, precision: "f32" }
  const [loss, accuracy, dx] = runMany("LmHeadCrossEntropy", { x: tf.ones([2, 4]) }, attrs)
  expect([loss!.dataSync()[0], accuracy!.dataSync()[0]]).toEqual([0, 0])
  expect(Array.from(dx!.dataSync())).toEqual(new Array(8).fill(0))
  expect(runMany("LmHeadCrossEntropy", { x: tf.ones([2, 4]) }, { ...attrs, needsDx: false })).toHaveLength(2)
})

test.each([0, 1, 17, 33, 40000])("AdamW over %d elements equals the reference", async (length) => {
  const random = seededRandom(length)
  const start = { param: random.floats(length), m: random.floats(length), v: random.floats(length).map(Math.abs) }
  const grad = random.floats(length)
  const settings = {
    learningRate: 0.01,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weightDecay: 0.1,
    step: 3,
    gradScale: 0.7,
  }
  const stepOn = async (backend: "cpu" | "native"): Promise<Float32Array[]> => {
    await initKernels({ backend })
    const state = { param: start.param.slice(), m: start.m.slice(), v: start.v.slice() }
    adamw({ ...state, grad, ...settings })
    return [state.param, state.m, state.v]
  }
  const expected = await stepOn("cpu")
  await eachIsa(async () => {
    const actual = await stepOn("native")
    // Some ten f32 roundings of values of order 1 where the reference computes in doubles.
    for (const [index, values] of expected.entries())
      expectClose(actual[index]!, values, { relative: 10 * 2 ** -24, absolute: 1e-7 })
  })
})

test("Add and AddN of one shape are C++ and exact; broadcasts and integers go to the cpu kernels", async () => {
  const random = seededRandom(3)
  const [a, b, c] = [random.floats(51), random.floats(51), random.floats(17)]
  const body = (): tf.Tensor[] => {
    const [x, y] = [tf.tensor2d(a, [3, 17]), tf.tensor2d(b, [3, 17])]
    return [
      tf.add(x, y),
      tf.addN([x, y, x]),
      tf.add(x, tf.tensor1d(c)),
      tf.add(tf.scalar(2, "int32"), tf.scalar(3, "int32")),
    ]
  }
  const expected = await valuesOn(CPU, body)
  await eachIsa(async () => expectSameBits(await valuesOn(NATIVE, body), expected))
})

test("an unknown instruction set is refused and nothing changes", () => {
  const before = addon().isa()
  expect(addon().setIsa("abacus")).toBe(false)
  expect(addon().isa()).toBe(before)
})
