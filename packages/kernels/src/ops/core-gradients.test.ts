import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "../init.js"

beforeAll(() => initKernels({ backend: "cpu" }))

test("add, sub, mul and neg sum their gradients over what was broadcast", () => {
  const a = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3])
  const b = tf.tensor1d([10, 20, 30])
  const dy = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3])
  const of = (f: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): number[][] =>
    tf
      .grads(f)([a, b], dy)
      .map((g) => Array.from(g.dataSync()))
  expect(of((a, b) => tf.add(a, b))).toEqual([
    [1, 2, 3, 4, 5, 6],
    [5, 7, 9],
  ])
  expect(of((a, b) => tf.sub(a, tf.neg(b)))).toEqual([
    [1, 2, 3, 4, 5, 6],
    [5, 7, 9],
  ])
  expect(of((a, b) => tf.mul(a, b))).toEqual([
    [10, 40, 90, 40, 100, 180],
    [1 * 1 + 4 * 4, 2 * 2 + 5 * 5, 3 * 3 + 6 * 6],
  ])
})

test("sum over an axis repeats its gradient; reshape, clone and cast pass it on", () => {
  const x = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3])
  const f = (x: tf.Tensor): tf.Tensor => tf.sum(tf.cast(tf.clone(tf.reshape(x, [3, 2])), "float32"), 1)
  // rows of the (3,2) view are columns pairs (1,2), (3,4), (5,6)
  expect(
    tf
      .grad(f)(x, tf.tensor1d([7, 8, 9]))
      .arraySync(),
  ).toEqual([
    [7, 7, 8],
    [8, 9, 9],
  ])
})
