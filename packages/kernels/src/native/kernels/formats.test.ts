import * as tf from "@tensorflow/tfjs-core"

import { dequantize } from "../../dequantize.js"
import type { FrozenWeight, WeightFormat } from "../../frozen.js"
import { initKernels } from "../../init.js"
import type { LinearGradAttrs, LmHeadAttrs, Precision } from "../../ops/kernel-args.js"
import { runMany, runOne } from "../../ops/run-kernel.js"
import { CPU, eachIsa, expectSameBits, NATIVE, valuesOn } from "../../testing/native.js"
import { colsFor, FORMATS, randomFrozen } from "../../testing/random-frozen.js"
import { seededRandom } from "../../testing/random.js"
import { addon } from "../addon.js"
import { weightArguments } from "./kernel.js"

/** The same values as f32, so that a kernel has nothing left to unpack. */
function plain(weight: FrozenWeight): FrozenWeight {
  return { format: "f32", rows: weight.rows, cols: weight.cols, codes: dequantize(weight) }
}

test.each(FORMATS)("rows of a %s table unpack to the reference's, bit by bit", async (format) => {
  for (const wanted of [1, 15, 16, 17, 33, 64, 65, 130, 300]) {
    const cols = colsFor(format, wanted)
    const weight = randomFrozen(format, 9, cols, wanted)
    const ids = Int32Array.of(8, 0, 3, 3, 7)
    const body = (): tf.Tensor[] => [runOne("Embedding", {}, { ids, weight })]
    const expected = await valuesOn(CPU, body)
    expect(expected[0]!.some((value) => value !== 0)).toBe(true)
    await eachIsa(async () => expectSameBits(await valuesOn(NATIVE, body), expected))
  }
})

function linear(weight: FrozenWeight, tokens: number, precision: Precision): () => tf.Tensor[] {
  const { rows, cols } = weight
  const random = seededRandom(rows + cols)
  const [x, dy] = [random.floats(tokens * cols), random.floats(tokens * rows)]
  const attrs: LinearGradAttrs = { weight, scale: 1, dropout: 0, dropoutSeed: 0, precision, needsDx: true }
  return () => {
    const input = { x: tf.tensor2d(x, [tokens, cols]) }
    const grad = { ...input, dy: tf.tensor2d(dy, [tokens, rows]) }
    return [...[runMany("QuantLoraLinear", input, attrs)].flat(), ...runMany("QuantLoraLinearGrad", grad, attrs)]
  }
}

describe.each(FORMATS)("a linear of %s", (format: WeightFormat) => {
  test.each([
    [1, 1, 1],
    [17, 15, 33],
    [5, 33, 17],
    [40, 70, 100],
    [33, 130, 70],
    [3, 64, 1030],
  ])("gives the bits of the same weights in f32, forward and backward: %d tokens, %d to %d", async (...shape) => {
    const [tokens, cols, rows] = shape
    const weight = randomFrozen(format, rows, colsFor(format, cols), rows)
    for (const precision of ["f32", "bf16", "int8"] as const)
      await eachIsa(async () =>
        expectSameBits(
          await valuesOn(NATIVE, linear(weight, tokens, precision)),
          await valuesOn(NATIVE, linear(plain(weight), tokens, precision)),
        ),
      )
  })
})

test.each(FORMATS)("a head of %s in several slabs gives the bits of the same weights in f32", async (format) => {
  // A slab is 2048 rows. With 3 blocks a row, nf4's groups of 256 scales begin inside rows and slabs.
  const cols = colsFor(format, 150)
  const weight = randomFrozen(format, 4500, cols, 1)
  const x = seededRandom(2).floats(3 * cols)
  const body = (of: FrozenWeight) => (): tf.Tensor[] => {
    const attrs: LmHeadAttrs = { weight: of, targets: Int32Array.of(4, 2100, 4499), needsDx: true, precision: "f32" }
    return runMany("LmHeadCrossEntropy", { x: tf.tensor2d(x, [3, cols]) }, attrs)
  }
  expectSameBits(await valuesOn(NATIVE, body(weight)), await valuesOn(NATIVE, body(plain(weight))))
})

test("accuracy counts first choices, in every slab of the vocabulary and on every instruction set", async () => {
  const weight = randomFrozen("f32", 4500, 24, 3)
  const [values, x] = [dequantize(weight), seededRandom(4).floats(40 * 24)]
  const best = Int32Array.from({ length: 40 }, (_, t) => {
    const logits = Array.from({ length: 4500 }, (_, id) => {
      let z = 0
      for (let j = 0; j < 24; j++) z += x[t * 24 + j]! * values[id * 24 + j]!
      return z
    })
    return logits.indexOf(Math.max(...logits))
  })
  expect([best.some((id) => id < 2048), best.some((id) => id >= 4096)]).toEqual([true, true])
  // 10 right, 10 wrong, 20 that do not count
  const targets = best.map((id, t) => (t < 10 ? id : t < 20 ? (id + 1) % 4500 : -1))
  await eachIsa(() => {
    const attrs: LmHeadAttrs = { weight, targets, needsDx: false, precision: "f32" }
    const [, accuracy] = runMany("LmHeadCrossEntropy", { x: tf.tensor2d(x, [40, 24]) }, attrs)
    expect(accuracy!.dataSync()[0]).toBe(0.5)
  })
})

test.each(FORMATS)("an array of a %s weight that is too short or of another type is refused", async (format) => {
  await initKernels({ backend: "native" })
  const args = weightArguments(randomFrozen(format, 3, 256, 1))
  const [ids, y] = [Int32Array.of(2), new Float32Array(256)]
  const call = (changed: readonly unknown[]): number =>
    addon().embedding(...(changed as unknown as typeof args), ids, y)
  expect(call(args)).toBe(0)
  for (const [position, value] of args.entries()) {
    if (typeof value !== "object") continue
    const replaced = (by: unknown): number => call(args.map((old, i) => (i === position ? by : old)))
    const values = value as Float32Array
    // status + 256 * the argument's position, counted from 1
    expect(replaced(values.subarray(1)) >> 8).toBe(position + 1)
    expect(replaced(new Float64Array(values.length)) >> 8).toBe(position + 1)
    expect(replaced(undefined) >> 8).toBe(position + 1)
  }
})

test("superblocks that do not fill a row are refused by the addon too", () => {
  const [format, rows, , ...arrays] = weightArguments(randomFrozen("q4k", 3, 256, 1))
  expect(addon().embedding(format, rows, 255, ...arrays, Int32Array.of(2), new Float32Array(255))).not.toBe(0)
})
