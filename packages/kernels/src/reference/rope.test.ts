import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "../init.js"
import { rope } from "../ops/rope.js"
import { centralDifference, dot } from "../testing/central-difference.js"
import { expectClose } from "../testing/expect-close.js"
import { seededRandom } from "../testing/random.js"
import { ropeTable } from "../testing/rope-table.js"

beforeAll(() => initKernels({ backend: "cpu" }))

/** Each pair as a complex number times exp(i·angle). */
function oracle(x: ArrayLike<number>, positions: Int32Array, headDim: number): Float64Array {
  const y = Float64Array.from(x)
  const width = x.length / positions.length
  const half = headDim / 2
  for (const [token, position] of positions.entries())
    for (let head = 0; head < width; head += headDim)
      for (let i = 0; i < half; i++) {
        const angle = position * Math.exp((-i / half) * Math.log(10000))
        const at = token * width + head + i
        const [real, imaginary] = [x[at]!, x[at + half]!]
        y[at] = real * Math.cos(angle) - imaginary * Math.sin(angle)
        y[at + half] = real * Math.sin(angle) + imaginary * Math.cos(angle)
      }
  return y
}

// cos and sin rounded once, two products and a sum: 4 · 2^-24
const rounding = { relative: 3e-7, absolute: 0 }

test.each([
  [1, 2],
  [3, 6],
  [2, 16],
])("rope and its gradient equal the rotation, %i heads of %i", (heads, headDim) => {
  const positions = Int32Array.of(0, 1, 2, 0, 40) // two segments and a far token
  const random = seededRandom(headDim)
  const values = random.floats(5 * heads * headDim)
  const dy = random.floats(values.length)
  const shape: [number, number] = [5, heads * headDim]
  const table = ropeTable({ positions: 41, headDim, theta: 10000 })
  const x = tf.tensor2d(values, shape)
  expectClose(rope(x, table, positions).dataSync(), oracle(values, positions, headDim), rounding)
  const dx = tf.grad((given) => rope(given as tf.Tensor2D, table, positions))(x, tf.tensor2d(dy, shape))
  expectClose(
    dx.dataSync(),
    centralDifference((at) => dot(oracle(at, positions, headDim), dy), values),
    rounding,
  )
})

test("positions past the table and widths that are no whole heads are refused", () => {
  const table = ropeTable({ positions: 4, headDim: 4, theta: 10000 })
  expect(() => rope(tf.zeros([1, 8]), table, Int32Array.of(4))).toThrow("rope position: expected 0..3, got 4")
  expect(() => rope(tf.zeros([1, 6]), table, Int32Array.of(0))).toThrow(
    "rope x: expected whole heads of even headDim 4, got 6 columns",
  )
  expect(() => rope(tf.zeros([2, 8]), table, Int32Array.of(0))).toThrow("rope positions: expected 2, got 1")
})
