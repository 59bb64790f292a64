import { fileURLToPath } from "node:url"

import { initKernels, nativeAvailable } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"
import { loadBase } from "@lamina/tuner"
import type { Base } from "@lamina/tuner"

import { uniformArray } from "../../packages/tuner/src/model/counter-random.js"
import { createDecoder, logitsOf } from "../../packages/tuner/src/model/decoder.js"
import { initialAdapter } from "../../packages/tuner/src/model/lora.js"
import { mergeAdapter } from "../../packages/tuner/src/model/merge-adapter.js"
import { allModules } from "../../packages/tuner/src/model/testing/random-base.js"
import { relativeError } from "../../packages/tuner/src/model/testing/relative-error.js"

const folder = fileURLToPath(new URL("../../models/tiny/", import.meta.url))
const TOKENS = 24

let base: Base
beforeAll(async () => {
  await initKernels({ backend: nativeAvailable() ? "native" : "cpu" })
  base = await loadBase(folder, { precision: "f32" })
})

function logits(model: Base, adapters: readonly Adapter[]): Float32Array {
  const decoder = createDecoder(model, { adapters, precision: "f32", positions: TOKENS })
  const rows = {
    ids: Int32Array.from({ length: TOKENS }, (_, i) => (37 * i + 11) % base.config.vocabulary),
    positions: Int32Array.from({ length: TOKENS }, (_, i) => i),
    offsets: Int32Array.of(0, TOKENS),
  }
  const scores = logitsOf(decoder, rows)
  const values = Float32Array.from(scores.dataSync())
  scores.dispose()
  return values
}

test("the shipped model with a merged adapter gives the logits it has with the adapter beside it", () => {
  const adapter = initialAdapter(base, { modules: allModules(base, { rank: 4, alpha: 8 }), scaling: "lora", seed: 1 })
  for (const [i, { b }] of adapter.modules.entries())
    b.set(uniformArray([3, i], { stream: 0, length: b.length, bound: 0.02 }))
  const beside = logits(base, [adapter])
  // Every linear sums at most `ffn` products, each rounded to 2^-24 in either path; errors of random sign add up to
  // sqrt(2 ffn) of them, and through layers x 7 linears in a row to no more than their sum.
  const { layers, ffn } = base.config
  const bound = layers * 7 * Math.sqrt(2 * ffn) * 2 ** -24
  expect(relativeError(logits(mergeAdapter(base, adapter), []), beside)).toBeLessThan(bound)
  expect(relativeError(logits(base, []), beside)).toBeGreaterThan(100 * bound)
})
