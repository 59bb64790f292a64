import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "../init.js"
import { causalAttention } from "../ops/causal-attention.js"
import type { AttentionAttrs } from "../ops/kernel-args.js"
import { centralDifference, dot } from "../testing/central-difference.js"
import { expectClose } from "../testing/expect-close.js"
import { seededRandom } from "../testing/random.js"

beforeAll(() => initKernels({ backend: "cpu" }))

type Arrays = Record<"q" | "k" | "v", ArrayLike<number>>

/** Token by token in f64, from the contract: who sees whom is decided per pair of tokens, softmax without any shift. */
function oracle({ q, k, v }: Arrays, attrs: AttentionAttrs): Float64Array {
  const { heads, kvHeads, headDim, offsets, scale, window = Infinity } = attrs
  const tokens = offsets[offsets.length - 1]!
  const segment = (t: number): number => offsets.findIndex((_, s) => t < offsets[s + 1]!)
  const y = new Float64Array(tokens * heads * headDim)
  for (let t = 0; t < tokens; t++)
    for (let h = 0; h < heads; h++) {
      const kv = Math.floor((h * kvHeads) / heads)
      const at = (t * heads + h) * headDim
      const before = Array.from({ length: t + 1 }, (_, u) => u)
      const seen = before.filter((u) => segment(u) === segment(t) && t - u < window)
      const weights = seen.map((u) => {
        let score = 0
        for (let i = 0; i < headDim; i++) score += q[at + i]! * k[(u * kvHeads + kv) * headDim + i]!
        return Math.exp(scale * score)
      })
      const total = weights.reduce((sum, weight) => sum + weight, 0)
      for (const [index, u] of seen.entries())
        for (let i = 0; i < headDim; i++) y[at + i]! += (weights[index]! / total) * v[(u * kvHeads + kv) * headDim + i]!
    }
  return y
}

const cases: AttentionAttrs[] = [
  { heads: 1, kvHeads: 1, headDim: 1, offsets: Int32Array.of(0, 1), scale: 1 },
  { heads: 4, kvHeads: 2, headDim: 5, offsets: Int32Array.of(0, 7), scale: 0.7 },
  { heads: 3, kvHeads: 1, headDim: 4, offsets: Int32Array.of(0, 1, 4, 9), scale: 0.5 },
  { heads: 2, kvHeads: 2, headDim: 3, offsets: Int32Array.of(0, 17), scale: 1.3 },
  { heads: 2, kvHeads: 1, headDim: 3, offsets: Int32Array.of(0, 5, 9), scale: 0.9, window: 1 },
  { heads: 3, kvHeads: 1, headDim: 4, offsets: Int32Array.of(0, 1, 4, 13), scale: 0.5, window: 3 },
  { heads: 2, kvHeads: 2, headDim: 2, offsets: Int32Array.of(0, 7), scale: 0.7, window: 100 },
]

function setUp({ heads, kvHeads, headDim, offsets }: AttentionAttrs): {
  arrays: Record<"q" | "k" | "v", Float32Array>
  given: tf.Tensor2D[]
  dy: tf.Tensor2D
} {
  const tokens = offsets[offsets.length - 1]!
  const random = seededRandom(tokens + heads)
  const [wide, narrow] = [heads * headDim, kvHeads * headDim]
  const arrays = {
    q: random.floats(tokens * wide),
    k: random.floats(tokens * narrow),
    v: random.floats(tokens * narrow),
  }
  const given = [
    tf.tensor2d(arrays.q, [tokens, wide]),
    tf.tensor2d(arrays.k, [tokens, narrow]),
    tf.tensor2d(arrays.v, [tokens, narrow]),
  ]
  return { arrays, given, dy: tf.tensor2d(random.floats(tokens * wide), [tokens, wide]) }
}

function run([q, k, v]: tf.Tensor[], attrs: AttentionAttrs): tf.Tensor2D {
  return causalAttention({ q: q as tf.Tensor2D, k: k as tf.Tensor2D, v: v as tf.Tensor2D }, attrs)
}

// sums of up to 17 terms through two products and a softmax: (17 + 17 + 17 + 10) · 2^-24 = 4e-6 of the largest value
const rounding = { relative: 1e-5, absolute: 1e-7 }

test.each(cases)("attention and the gradients of q, k and v equal the f64 formula: %o", (attrs) => {
  const { arrays, given, dy } = setUp(attrs)
  const before = tf.memory().numTensors
  const y = run(given, attrs)
  expectClose(y.dataSync(), oracle(arrays, attrs), rounding)
  const gradients = tf.grads((...args: tf.Tensor[]) => run(args, attrs))(given, dy)
  for (const [index, name] of (["q", "k", "v"] as const).entries()) {
    const loss = (values: Float64Array): number => dot(oracle({ ...arrays, [name]: values }, attrs), dy.dataSync())
    expectClose(gradients[index]!.dataSync(), centralDifference(loss, arrays[name]), rounding)
  }
  tf.dispose([y, ...gradients])
  expect(tf.memory().numTensors).toBe(before)
})

test("packed segments equal separate runs, to the bit", () => {
  const attrs = cases[2]!
  const { given } = setUp(attrs)
  const packed = run(given, attrs).arraySync()
  for (let s = 0; s + 1 < attrs.offsets.length; s++) {
    const [start, end] = [attrs.offsets[s]!, attrs.offsets[s + 1]!]
    const rows = given.map((x) => tf.slice(x, [start, 0], [end - start, x.shape[1]]))
    expect(run(rows, { ...attrs, offsets: Int32Array.of(0, end - start) }).arraySync()).toEqual(
      packed.slice(start, end),
    )
  }
})

test("large scores do not overflow the softmax", () => {
  // scores 0 and 300 (exp(300) overflows f32): the second token reads only itself
  const q = tf.tensor2d([1, 300], [2, 1])
  const k = tf.tensor2d([0, 1], [2, 1])
  const v = tf.tensor2d([5, 7], [2, 1])
  expect(
    Array.from(run([q, k, v], { heads: 1, kvHeads: 1, headDim: 1, offsets: Int32Array.of(0, 2), scale: 1 }).dataSync()),
  ).toEqual([5, 7])
})

test("offsets that do not rise from 0 to T, heads that do not divide and a window of no token are refused", () => {
  const attrs = { heads: 2, kvHeads: 1, headDim: 2, offsets: Int32Array.of(0, 3), scale: 1 }
  const given = [tf.zeros([3, 4]), tf.zeros([3, 2]), tf.zeros([3, 2])]
  expect(() => run(given, { ...attrs, offsets: Int32Array.of(0, 2) })).toThrow("last offset: expected 3, got 2")
  expect(() => run(given, { ...attrs, offsets: Int32Array.of(0, 2, 2, 3) })).toThrow(
    "offsets: expected rising, got 2 before 2",
  )
  expect(() => run(given, { ...attrs, offsets: Int32Array.of(1, 3) })).toThrow("offsets[0]: expected 0, got 1")
  expect(() => run(given, { ...attrs, kvHeads: 3 })).toThrow("heads: expected a multiple of kvHeads 3, got 2")
  for (const window of [0, -1, 1.5, NaN])
    expect(() => run(given, { ...attrs, window })).toThrow(`window: expected a whole number from 1, got ${window}`)
  expect(() => run([given[0]!, given[0]!, given[2]!], attrs)).toThrow("k: expected (3, 2), got (3, 4)")
})
