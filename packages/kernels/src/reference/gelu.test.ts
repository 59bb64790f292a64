import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "../init.js"
import { gelu } from "../ops/gelu.js"
import { centralDifference, dot } from "../testing/central-difference.js"
import { expectClose } from "../testing/expect-close.js"
import { seededRandom } from "../testing/random.js"

beforeAll(() => initKernels({ backend: "cpu" }))

/** Phi by its series: erf(z) = 2/sqrt(pi) · sum of (-1)^n z^(2n+1) / (n! (2n+1)), exact enough for |x| <= 4. */
function normalShare(x: number): number {
  const z = x / Math.SQRT2
  let term = z
  let sum = z
  for (let n = 1; n < 80; n++) {
    term *= (-z * z) / n
    sum += term / (2 * n + 1)
  }
  return 0.5 * (1 + (2 / Math.sqrt(Math.PI)) * sum)
}

const FORMS: [string, boolean, (x: number) => number][] = [
  ["erf", false, normalShare],
  ["tanh", true, (x) => 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))],
]

// tfjs's erf is within 1.5e-7, times x of up to 4; beyond that a dozen roundings of 2^-24
const rounding = { relative: 2e-6, absolute: 1e-6 }

test.each(FORMS)("gelu in its form with %s and its gradient equal the f64 formula", (_, tanh, share) => {
  const random = seededRandom(3)
  const values = random.floats(51).map((value) => 4 * value)
  const dy = random.floats(51)
  const oracle = (x: ArrayLike<number>): Float64Array => Float64Array.from(x, (value) => value * share(value))
  const x = tf.tensor2d(values, [3, 17])
  expectClose(gelu(x, { tanh }).dataSync(), oracle(values), rounding)
  const dx = tf.grad((given) => gelu(given as tf.Tensor2D, { tanh }))(x, tf.tensor2d(dy, [3, 17]))
  expectClose(
    dx.dataSync(),
    centralDifference((at) => dot(oracle(at), dy), values),
    rounding,
  )
})
