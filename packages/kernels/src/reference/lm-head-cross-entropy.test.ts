import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "../init.js"
import { lmHeadCrossEntropy, lmHeadScores } from "../ops/lm-head-cross-entropy.js"
import { dequantize } from "../dequantize.js"
import { quantize } from "../quantize.js"
import { centralDifference } from "../testing/central-difference.js"
import { expectClose } from "../testing/expect-close.js"
import { seededRandom } from "../testing/random.js"

beforeAll(() => initKernels({ backend: "cpu" }))

/** Mean of log Σ exp(z) - z[target] over counted tokens, in f64. */
function oracle(x: ArrayLike<number>, w: Float32Array, targets: Int32Array): number {
  const width = x.length / targets.length
  let sum = 0
  let counted = 0
  for (const [t, target] of targets.entries()) {
    if (target < 0) continue
    const logits = Array.from({ length: w.length / width }, (_, id) => {
      let z = 0
      for (let j = 0; j < width; j++) z += x[t * width + j]! * w[id * width + j]!
      return z
    })
    sum += Math.log(logits.reduce((total, z) => total + Math.exp(z), 0)) - logits[target]!
    counted++
  }
  return sum / counted
}

// sums of 33 terms, a softmax over 29 and the mean of 70 losses: 150 · 2^-24 = 9e-6 of the largest value
const rounding = { relative: 1e-5, absolute: 1e-8 }

test.each([
  ["f32", 1],
  ["q8", 5],
  ["q4", 70], // two chunks, the second short
] as const)("loss and dx equal the f64 formula, %s table, %i tokens, some not counted", (format, tokens) => {
  const random = seededRandom(tokens)
  const weight = quantize({ rows: 29, cols: 33, values: random.floats(29 * 33) }, format)
  const values = random.floats(tokens * 33)
  const targets = random.integers(tokens, 29).map((target, t) => (t % 3 === 1 ? -1 : target))
  const x = tf.tensor2d(values, [tokens, 33])
  const before = tf.memory().numTensors
  const { value, grad } = tf.valueAndGrad((given) => lmHeadCrossEntropy({ x: given as tf.Tensor2D, weight, targets }))(
    x,
  )
  expectClose(value.dataSync(), [oracle(values, dequantize(weight), targets)], rounding)
  expectClose(
    grad.dataSync(),
    centralDifference((at) => oracle(at, dequantize(weight), targets), values),
    rounding,
  )
  tf.dispose([value, grad])
  expect(tf.memory().numTensors).toBe(before)
})

test("outside of a tape no gradient is computed", async () => {
  const weight = quantize({ rows: 4, cols: 2, values: new Float32Array(8) }, "f32")
  const x = tf.tensor2d([1, 2, 3, 4], [2, 2])
  const { kernels } = await tf.profile(() => lmHeadCrossEntropy({ x, weight, targets: Int32Array.of(0, 3) }))
  expect(kernels.find(({ name }) => name === "LmHeadCrossEntropy")?.outputShapes).toEqual([[], []])
})

test("accuracy is the share of counted targets that no other logit exceeds", () => {
  // logits of the rows: (1, 2, 3), (2, 1, 0), (0, 0, 0): a tie is right
  const weight = quantize({ rows: 3, cols: 3, values: Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1) }, "f32")
  const x = tf.tensor2d([1, 2, 3, 2, 1, 0, 0, 0, 0, 5, 1, 1], [4, 3])
  const accuracyOf = (...targets: number[]): number | undefined => {
    const scores = lmHeadScores({ x, weight, targets: Int32Array.from(targets) })
    return scores.accuracy.dataSync()[0]
  }
  expect(accuracyOf(2, 0, 1, 0)).toBe(1)
  expect(accuracyOf(1, 0, -1, -1)).toBe(0.5)
  expect(accuracyOf(0, 1, -1, 2)).toBe(0)
  expect(accuracyOf(-1, -1, -1, -1)).toBe(0)
})

test("the incoming gradient scales dx", () => {
  const weight = quantize({ rows: 3, cols: 2, values: Float32Array.of(1, 0, 0, 1, -1, 2) }, "f32")
  const x = tf.tensor2d([0.5, -0.5], [1, 2])
  const plain = tf.grad((given) => lmHeadCrossEntropy({ x: given as tf.Tensor2D, weight, targets: Int32Array.of(1) }))(
    x,
  )
  const tripled = tf.grad((given) =>
    tf.mul(3, lmHeadCrossEntropy({ x: given as tf.Tensor2D, weight, targets: Int32Array.of(1) })),
  )(x)
  expectClose(
    tripled.dataSync(),
    plain.dataSync().map((value) => 3 * value),
    { relative: 1e-7, absolute: 0 },
  )
})

test("with no counted target loss and dx are zero, and logits of a zero table give log V", () => {
  const weight = quantize({ rows: 7, cols: 2, values: new Float32Array(14) }, "f32")
  const x = tf.tensor2d([1, 2, 3, 4], [2, 2])
  const { value, grad } = tf.valueAndGrad((given) =>
    lmHeadCrossEntropy({ x: given as tf.Tensor2D, weight, targets: Int32Array.of(-1, -1) }),
  )(x)
  expect([value.dataSync()[0], ...grad.dataSync()]).toEqual([0, 0, 0, 0, 0])
  expect(lmHeadCrossEntropy({ x, weight, targets: Int32Array.of(0, -1) }).dataSync()[0]).toBeCloseTo(Math.log(7), 6)
})

test("targets outside -1..V-1 and wrong shapes are refused", () => {
  const weight = quantize({ rows: 7, cols: 2, values: new Float32Array(14) }, "f32")
  expect(() => lmHeadCrossEntropy({ x: tf.zeros([1, 2]), weight, targets: Int32Array.of(7) })).toThrow(
    "target 0: expected -1..6, got 7",
  )
  expect(() => lmHeadCrossEntropy({ x: tf.zeros([1, 2]), weight, targets: Int32Array.of(-2) })).toThrow(
    "target 0: expected -1..6, got -2",
  )
  expect(() => lmHeadCrossEntropy({ x: tf.zeros([2, 2]), weight, targets: Int32Array.of(1) })).toThrow(
    "lm head x: expected (1, 2), got (2, 2)",
  )
})
