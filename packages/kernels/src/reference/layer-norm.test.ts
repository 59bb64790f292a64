import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "../init.js"
import { layerNorm } from "../ops/layer-norm.js"
import { centralDifference, dot } from "../testing/central-difference.js"
import { expectClose } from "../testing/expect-close.js"
import { seededRandom } from "../testing/random.js"

beforeAll(() => initKernels({ backend: "cpu" }))

interface Attrs {
  readonly weight: Float32Array
  readonly bias: Float32Array
  readonly eps: number
}

function oracle(x: ArrayLike<number>, { weight, bias, eps }: Attrs): Float64Array {
  const width = weight.length
  return Float64Array.from({ length: x.length }, (_, i) => {
    const row = Array.from({ length: width }, (_, j) => x[Math.floor(i / width) * width + j]!)
    const mean = row.reduce((sum, value) => sum + value, 0) / width
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width
    return ((x[i]! - mean) / Math.sqrt(variance + eps)) * weight[i % width]! + bias[i % width]!
  })
}

// two f32 sums of up to 65 terms and a handful of operations: 150 · 2^-24 = 9e-6 of the largest value
const rounding = { relative: 2e-5, absolute: 1e-6 }

test.each([
  [1, 2],
  [3, 17],
  [5, 65],
])("layerNorm and its gradient equal the f64 formula, %i tokens of width %i", (tokens, width) => {
  const random = seededRandom(width)
  const [values, dy] = [random.floats(tokens * width), random.floats(tokens * width)]
  const attrs = { weight: random.floats(width), bias: random.floats(width), eps: 1e-2 } // large enough that it shows
  const x = tf.tensor2d(values, [tokens, width])
  expectClose(layerNorm(x, attrs).dataSync(), oracle(values, attrs), rounding)
  const dx = tf.grad((given) => layerNorm(given as tf.Tensor2D, attrs))(x, tf.tensor2d(dy, [tokens, width]))
  expectClose(
    dx.dataSync(),
    centralDifference((at) => dot(oracle(at, attrs), dy), values),
    rounding,
  )
})

test("a weight or bias of another width is refused", () => {
  const attrs = { weight: new Float32Array(4), bias: new Float32Array(4), eps: 1e-5 }
  expect(() => layerNorm(tf.zeros([2, 3]), attrs)).toThrow("layerNorm x: expected (2, 4), got (2, 3)")
  expect(() => layerNorm(tf.zeros([2, 4]), { ...attrs, bias: new Float32Array(3) })).toThrow("layerNorm bias")
})
