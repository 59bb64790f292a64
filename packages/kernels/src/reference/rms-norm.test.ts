import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "../init.js"
import { rmsNorm } from "../ops/rms-norm.js"
import { centralDifference, dot } from "../testing/central-difference.js"
import { expectClose } from "../testing/expect-close.js"
import { seededRandom } from "../testing/random.js"

beforeAll(() => initKernels({ backend: "cpu" }))

function oracle(x: ArrayLike<number>, weight: Float32Array, eps: number): Float64Array {
  const width = weight.length
  return Float64Array.from({ length: x.length }, (_, i) => {
    const row = Math.floor(i / width) * width
    let sumSq = 0
    for (let j = 0; j < width; j++) sumSq += x[row + j]! ** 2
    return (x[i]! / Math.sqrt(sumSq / width + eps)) * weight[i % width]!
  })
}

// one f32 sum of up to 65 squares and a handful of operations: 80 · 2^-24 = 5e-6 of the largest value
const rounding = { relative: 1e-5, absolute: 1e-7 }

test.each([
  [1, 1],
  [3, 17],
  [5, 65],
])("rmsNorm and its gradient equal the f64 formula, %i tokens of width %i", (tokens, width) => {
  const random = seededRandom(width)
  const [values, weight, dy] = [random.floats(tokens * width), random.floats(width), random.floats(tokens * width)]
  const eps = 1e-2 // large enough that leaving it out shows
  const x = tf.tensor2d(values, [tokens, width])
  expectClose(rmsNorm(x, { weight, eps }).dataSync(), oracle(values, weight, eps), rounding)
  const dx = tf.grad((given) => rmsNorm(given as tf.Tensor2D, { weight, eps }))(x, tf.tensor2d(dy, [tokens, width]))
  expectClose(
    dx.dataSync(),
    centralDifference((at) => dot(oracle(at, weight, eps), dy), values),
    rounding,
  )
})

test("a weight of another width is refused", () => {
  expect(() => rmsNorm(tf.zeros([2, 3]), { weight: new Float32Array(4), eps: 1e-5 })).toThrow(
    "rmsNorm x: expected (2, 4), got (2, 3)",
  )
})
