import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "../../init.js"
import { cachedAttention } from "../../ops/cached-attention.js"
import { causalAttention } from "../../ops/causal-attention.js"
import type { LinearAttrs } from "../../ops/kernel-args.js"
import { runOne } from "../../ops/run-kernel.js"
import { expectClose } from "../../testing/expect-close.js"
import { CPU, eachIsa, expectSameBits, expectSameOnThreads, NATIVE, valuesOn } from "../../testing/native.js"
import { colsFor, FORMATS, randomFrozen } from "../../testing/random-frozen.js"
import { seededRandom } from "../../testing/random.js"

interface Case {
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly past: number
  readonly rows: number
  readonly window?: number
}

const CASES: readonly Case[] = [
  { heads: 1, kvHeads: 1, headDim: 1, past: 0, rows: 1 },
  { heads: 4, kvHeads: 2, headDim: 17, past: 15, rows: 1 },
  { heads: 9, kvHeads: 3, headDim: 64, past: 300, rows: 2 },
  { heads: 2, kvHeads: 1, headDim: 80, past: 31, rows: 17 },
  { heads: 2, kvHeads: 2, headDim: 8, past: 40, rows: 3, window: 1 },
  { heads: 3, kvHeads: 1, headDim: 16, past: 7, rows: 30, window: 13 },
  { heads: 2, kvHeads: 2, headDim: 4, past: 5, rows: 2, window: 500 },
]

/** The last rows of causal attention over all, and the same from a cache with rows to spare that nobody may read. */
function bodies({ heads, kvHeads, headDim, past, rows, window }: Case): (() => tf.Tensor[])[] {
  const random = seededRandom(past + headDim)
  const total = past + rows
  const [wide, narrow] = [heads * headDim, kvHeads * headDim]
  const [q, k, v] = [wide, narrow, narrow].map((width) => random.floats(total * width))
  const shape = { heads, kvHeads, headDim, scale: 0.3, ...(window === undefined ? {} : { window }) }
  const cacheOf = (held: Float32Array): Float32Array => {
    const cache = new Float32Array(held.length + 2 * narrow).fill(NaN)
    cache.set(held)
    return cache
  }
  const [keys, values] = [cacheOf(k!), cacheOf(v!)]
  const all = (): tf.Tensor[] => {
    const [qt, kt, vt] = [q!, k!, v!].map((x) => tf.tensor2d(x, [total, x.length / total]))
    const y = causalAttention({ q: qt!, k: kt!, v: vt! }, { ...shape, offsets: Int32Array.of(0, total) })
    return [tf.slice(y, [past, 0], [rows, wide])]
  }
  const cached = (): tf.Tensor[] => [
    cachedAttention({ q: tf.tensor2d(q!.subarray(past * wide), [rows, wide]), k: keys, v: values }, { ...shape, past }),
  ]
  return [all, cached]
}

// Sums of headDim and of up to 302 terms and a softmax: sqrt(302) 2^-24 = 1e-6 of the largest, three sums in a row.
const BOUND = { relative: 5e-6, absolute: 1e-6 }

test.each(CASES)("attention to a cache is causal attention's last rows: %j", async (shape) => {
  const [all, cached] = bodies(shape)
  const [expected] = await valuesOn(CPU, all!)
  expectClose((await valuesOn(CPU, cached!))[0]!, expected!, BOUND)
  await eachIsa(async () => expectClose((await valuesOn(NATIVE, cached!))[0]!, expected!, BOUND))
})

test("attention to a cache is the same bits on 1, 2 and 5 threads", async () => {
  await expectSameOnThreads(bodies(CASES[2]!)[1]!)
})

test("a cache too short for its tokens is refused, in TypeScript and in C++", async () => {
  await initKernels(NATIVE)
  const shape = { heads: 2, kvHeads: 1, headDim: 4, scale: 1 }
  const [q, cache] = [tf.zeros([2, 8]) as tf.Tensor2D, new Float32Array(16)]
  expect(() => cachedAttention({ q, k: cache, v: cache }, { ...shape, past: 3 })).toThrow(
    "k: expected whole rows of 4 for past 3 and 2 more tokens, got 16 values",
  )
  expect(() => cachedAttention({ q, k: cache, v: new Float32Array(12) }, { ...shape, past: 2 })).toThrow(
    "v: expected 16, got 12",
  )
  expect(() => cachedAttention({ q, k: cache, v: cache }, { ...shape, past: 2, window: 0 })).toThrow("window")
  const refused = expect.objectContaining({ code: "KERNEL_SHAPE" })
  expect(() => runOne("CachedAttention", { q }, { ...shape, keys: cache, values: cache, past: 3 })).toThrow(refused)
})

function linearBody(format: (typeof FORMATS)[number], tokens: number, wide: number): () => tf.Tensor[] {
  const [rows, cols, rank] = [wide, colsFor(format, 100), 3]
  const random = seededRandom(rows)
  const [x, a, b] = [
    random.floats(4 * cols).subarray(0, tokens * cols),
    random.floats(rank * cols),
    random.floats(rows * rank),
  ]
  const attrs: LinearAttrs = {
    ...{ weight: randomFrozen(format, rows, cols, 7), bias: random.floats(rows), scale: 0.5, dropout: 0 },
    global: { rank: 2, a: random.floats(2 * cols), b: random.floats(rows * 2) },
    ...{ dropoutSeed: 0, precision: "bf16" },
  }
  return () => [
    runOne(
      "QuantLoraLinear",
      { x: tf.tensor2d(x, [tokens, cols]), a: tf.tensor2d(a, [rank, cols]), b: tf.tensor2d(b, [rows, rank]) },
      attrs,
    ),
  ]
}

test.each(FORMATS)("one to four tokens through a %s weight and its adapters equal the reference", async (format) => {
  for (const tokens of [1, 2, 3, 4])
    for (const rows of [1, 33]) {
      const body = linearBody(format, tokens, rows)
      const [expected] = await valuesOn(CPU, body)
      // f32 whatever the precision: up to 256 terms in random order, sqrt(256) 2^-24 = 1e-6, three such sums
      await eachIsa(async () => expectClose((await valuesOn(NATIVE, body))[0]!, expected!, BOUND))
    }
})

test("a token's outputs are the same bits alone and among four", async () => {
  await eachIsa(async () => {
    const [four] = await valuesOn(NATIVE, linearBody("q8", 4, 33))
    for (const tokens of [1, 2, 3])
      expectSameBits(await valuesOn(NATIVE, linearBody("q8", tokens, 33)), [four!.subarray(0, tokens * 33)])
  })
})

test("few tokens through a wide weight are the same bits on 1, 2 and 5 threads", async () => {
  await expectSameOnThreads(linearBody("q4", 2, 3000))
})
