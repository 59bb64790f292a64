import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "../init.js"
import { embedding } from "../ops/embedding.js"
import { dequantize } from "../dequantize.js"
import { quantize } from "../quantize.js"
import { seededRandom } from "../testing/random.js"

beforeAll(() => initKernels({ backend: "cpu" }))

test.each(["f32", "bf16", "q8", "q4"] as const)(
  "embedding gives the rows of a %s table, repeated ones too",
  (format) => {
    const weight = quantize({ rows: 6, cols: 33, values: seededRandom(3).floats(6 * 33) }, format)
    const table = dequantize(weight)
    const ids = Int32Array.of(5, 0, 5, 2)
    const rows = embedding({ ids, weight })
    expect(rows.shape).toEqual([4, 33])
    for (const [token, row] of rows.arraySync().entries())
      expect(row).toEqual(Array.from(table.subarray(ids[token]! * 33, (ids[token]! + 1) * 33)))
  },
)

test("embedding under a tape does not disturb gradients of what follows", () => {
  const weight = quantize({ rows: 3, cols: 2, values: Float32Array.of(1, 2, 3, 4, 5, 6) }, "f32")
  // d/ds sum(s · rows 0 and 2) = 1 + 2 + 5 + 6
  const gradient = tf.grad((s) => tf.sum(tf.mul(s, embedding({ ids: Int32Array.of(0, 2), weight }))))(tf.scalar(3))
  expect(gradient.dataSync()[0]).toBe(14)
})

test("ids outside the table are refused before any read", () => {
  const weight = quantize({ rows: 3, cols: 2, values: new Float32Array(6) }, "f32")
  expect(() => embedding({ ids: Int32Array.of(0, 3), weight })).toThrow("id 1: expected 0..2, got 3")
  expect(() => embedding({ ids: Int32Array.of(-1), weight })).toThrow("id 0: expected 0..2, got -1")
})
