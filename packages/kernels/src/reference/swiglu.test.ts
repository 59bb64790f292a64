import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "../init.js"
import { swiglu } from "../ops/swiglu.js"
import { centralDifference, dot } from "../testing/central-difference.js"
import { expectClose } from "../testing/expect-close.js"
import { seededRandom } from "../testing/random.js"

beforeAll(() => initKernels({ backend: "cpu" }))

function oracle(gate: ArrayLike<number>, up: ArrayLike<number>): Float64Array {
  return Float64Array.from(up, (u, i) => (gate[i]! / (1 + Math.exp(-gate[i]!))) * u)
}

// a dozen operations and one exp: 16 · 2^-24 = 1e-6
const rounding = { relative: 2e-6, absolute: 0 }

test.each([
  [1, 1],
  [3, 17],
])("swiglu and both gradients equal the f64 formula, (%i, %i)", (rows, cols) => {
  const random = seededRandom(cols)
  const gate = random.floats(rows * cols).map((value) => 6 * value)
  const up = random.floats(rows * cols)
  const dy = random.floats(rows * cols)
  const given = [tf.tensor2d(gate, [rows, cols]), tf.tensor2d(up, [rows, cols])]
  const run = (...[g, u]: tf.Tensor[]): tf.Tensor2D => swiglu(g as tf.Tensor2D, u as tf.Tensor2D)
  expectClose(run(...given).dataSync(), oracle(gate, up), rounding)
  const [dgate, dup] = tf.grads(run)(given, tf.tensor2d(dy, [rows, cols]))
  expectClose(
    dgate!.dataSync(),
    centralDifference((at) => dot(oracle(at, up), dy), gate),
    rounding,
  )
  expectClose(
    dup!.dataSync(),
    centralDifference((at) => dot(oracle(gate, at), dy), up),
    rounding,
  )
})

test("gate and up of different shapes are refused", () => {
  expect(() => swiglu(tf.zeros([2, 3]), tf.zeros([3, 2]))).toThrow("swiglu up: expected (2, 3), got (3, 2)")
})
