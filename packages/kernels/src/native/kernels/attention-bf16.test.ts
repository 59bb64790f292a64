import * as tf from "@tensorflow/tfjs-core"

import type { AttentionAttrs } from "../../ops/kernel-args.js"
import { runMany, runOne } from "../../ops/run-kernel.js"
import { CPU, eachIsa, expectSameOnThreads, NATIVE, valuesOn } from "../../testing/native.js"
import { seededRandom } from "../../testing/random.js"

type Case = readonly [heads: number, kvHeads: number, headDim: number, offsets: readonly number[], window?: number]

/** Head sizes and lengths around the tiles: groups of 14 rows, pairs, 32 queries, chunks of 140 keys. */
const CASES: readonly Case[] = [
  [1, 1, 1, [0, 2]],
  [2, 1, 6, [0, 13, 28]],
  [3, 3, 15, [0, 31, 63, 128]],
  [9, 3, 64, [0, 140, 281]],
  [4, 2, 33, [0, 1, 142]],
  [2, 2, 80, [0, 513]],
  [1, 1, 128, [0, 97]],
  [2, 1, 16, [0, 700, 1301]],
  [2, 1, 16, [0, 1, 70], 1],
  [3, 1, 33, [0, 141, 700], 37],
  [1, 1, 64, [0, 900], 300],
]

function body([heads, kvHeads, headDim, offsets, window]: Case, precision: "f32" | "bf16"): () => tf.Tensor[] {
  const random = seededRandom(heads * 1000 + headDim)
  const tokens = offsets.at(-1)!
  const [wide, narrow] = [heads * headDim, kvHeads * headDim]
  const [q, k, v, dy] = [wide, narrow, narrow, wide].map((width) => random.floats(tokens * width))
  const attrs: AttentionAttrs = {
    ...{ heads, kvHeads, headDim, scale: 1 / Math.sqrt(headDim), precision },
    offsets: Int32Array.from(offsets),
    ...(window === undefined ? {} : { window }),
  }
  return () => {
    const inputs = {
      q: tf.tensor2d(q!, [tokens, wide]),
      k: tf.tensor2d(k!, [tokens, narrow]),
      v: tf.tensor2d(v!, [tokens, narrow]),
    }
    const gradients = runMany("CausalAttentionGrad", { dy: tf.tensor2d(dy!, [tokens, wide]), ...inputs }, attrs)
    return [runOne("CausalAttention", inputs, attrs), ...gradients]
  }
}

function norm(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0))
}

/**
 * bf16 keeps 8 bits: an input of a product is off by 2^-9 of itself at most, a product of two by 2^-8. Three such
 * products lie between q and its gradient (scores, d probability, d query), scores below 2 in size double what the
 * first one does to the probabilities, and the probabilities are rounded themselves: under 6 · 2^-8 in all.
 */
const BOUND = 6 * 2 ** -8

const cases = CASES.map((shape) => ({ shape }))

test.each(cases)("attention in bf16 is the reference's up to its roundings: %j", async ({ shape }) => {
  const expected = await valuesOn(CPU, body(shape, "f32"))
  await eachIsa(async () => {
    const actual = await valuesOn(NATIVE, body(shape, "bf16"))
    for (const [i, right] of expected.entries()) {
      const error = norm(actual[i]!.map((value, j) => value - right[j]!))
      expect(error).toBeLessThanOrEqual(BOUND * norm(right)) // both are 0 for a window of one token
    }
  })
})

test("attention in bf16 is the same bits on 1, 2 and 5 threads", async () => {
  await expectSameOnThreads(body([6, 2, 20, [0, 100, 1200]], "bf16"))
})
