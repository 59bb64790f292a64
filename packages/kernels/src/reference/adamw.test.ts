import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "../init.js"
import { adamw } from "../ops/adamw.js"
import { expectClose } from "../testing/expect-close.js"
import { seededRandom } from "../testing/random.js"

beforeAll(() => initKernels({ backend: "cpu" }))

const settings = { learningRate: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-3, weightDecay: 0.2 }

test("the first step moves by lr·g/(|g| + eps) after decay, whatever the betas", () => {
  // m/(1-b1) = g, sqrt(v/(1-b2)) = |g|, g = 2 · 0.5 = 1: 5 · (1 - 0.1·0.2) - 0.1 / 1.001
  const param = Float32Array.of(5)
  adamw({
    ...settings,
    param,
    grad: Float32Array.of(2),
    m: new Float32Array(1),
    v: new Float32Array(1),
    step: 1,
    gradScale: 0.5,
  })
  expectClose(param, [4.9 - 0.1 / 1.001], { relative: 1e-7, absolute: 0 })
})

test("ten steps equal the closed form of the moments, in place, a tfjs variable seeing them", () => {
  const random = seededRandom(4)
  const start = random.floats(33)
  const [param, m, v] = [start.slice(), new Float32Array(33), new Float32Array(33)]
  const variable = tf.variable(tf.tensor2d(param, [3, 11]))
  const gradients = Array.from({ length: 10 }, () => random.floats(33))
  for (const [index, grad] of gradients.entries())
    adamw({ ...settings, param, grad, m, v, step: index + 1, gradScale: 1.5 })

  const expected = start.map((value, i) => {
    let p = value
    for (let t = 1; t <= 10; t++) {
      // m_t / (1 - b1^t) is the mean of g_1..g_t with weights b1^(t-s), and the same for v with squares
      const mean = (beta: number, power: number): number => {
        const weights = Array.from({ length: t }, (_, s) => beta ** (t - 1 - s))
        const total = weights.reduce((sum, w) => sum + w, 0)
        return weights.reduce((sum, w, s) => sum + w * (1.5 * gradients[s]![i]!) ** power, 0) / total
      }
      p = p * (1 - 0.02) - (0.1 * mean(0.9, 1)) / (Math.sqrt(mean(0.99, 2)) + 1e-3)
    }
    return p
  })
  // ten roundings of p, m and v to f32 each step: 30 · 2^-24 = 2e-6
  expectClose(param, expected, { relative: 2e-6, absolute: 0 })
  expect(variable.dataSync()).toEqual(param)
})

test("arrays of different lengths are refused", () => {
  const array = new Float32Array(3)
  const args = { ...settings, param: array, grad: array, m: array, v: array, step: 1, gradScale: 1 }
  for (const name of ["grad", "m", "v"] as const)
    expect(() => adamw({ ...args, [name]: new Float32Array(2) })).toThrow(`adamw ${name}: expected 3, got 2`)
})
