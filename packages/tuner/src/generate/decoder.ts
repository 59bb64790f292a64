import { cachedAttention, causalAttention } from "@lamina/kernels"
import { LaminaError } from "@lamina/protocol/errors"
import * as tf from "@tensorflow/tfjs-core"

import type { ModelConfig } from "../api.js"
import { attentionShape } from "../model/attention-shape.js"
import type { Attend } from "../model/block.js"
import { headLogits, hiddenStates } from "../model/decoder.js"
import type { Decoder, TokenRows } from "../model/decoder.js"
import type { KvCache } from "./kv-cache.js"

/** Tokens to run after those in a cache. */
export interface Continuation {
  readonly cache: KvCache
  /** (n), at least one. */
  readonly ids: Int32Array
}

/**
 * One pass over all `continuations` together. Returns the scores of the next token, (V) each: after the last token of
 * every continuation, or with `every` after each of its tokens. Caches grow by what was run; with `keep` false they
 * stay as long as they were, and continuations may then share one. RECIPE_INVALID when a cache has no room.
 */
export function advance(
  model: Decoder,
  continuations: readonly Continuation[],
  options: { readonly every?: boolean; readonly keep?: boolean } = {},
): Float32Array[][] {
  for (const continuation of continuations) checkRoom(continuation)
  const rows = joinContinuations(continuations)
  const { vocabulary } = model.config
  let scores: Float32Array[][] = [] // not what tidy returns: it would look for tensors in every element
  tf.tidy(() => {
    const attend = (layer: number): Attend => attendCaches(model.config, { continuations, rows, layer })
    const hidden = hiddenStates(model, rows, { attend })
    const all = headLogits(model, options.every ? hidden : lastRows(hidden, rows.offsets)).dataSync() as Float32Array
    let row = 0
    scores = continuations.map(({ ids }) =>
      Array.from({ length: options.every ? ids.length : 1 }, () => all.slice(row * vocabulary, ++row * vocabulary)),
    )
  })
  if (options.keep ?? true) for (const { cache, ids } of continuations) cache.length += ids.length
  return scores
}

function checkRoom({ cache: { length, capacity }, ids }: Continuation): void {
  if (ids.length < 1 || length + ids.length > capacity)
    throw new LaminaError(
      "RECIPE_INVALID",
      `expected 1..${capacity - length} more tokens in a context of ${capacity}, got ${ids.length}`,
    )
}

/** All ids one after another, each at its position in its own sequence. */
function joinContinuations(continuations: readonly Continuation[]): TokenRows {
  const offsets = new Int32Array(continuations.length + 1)
  for (const [i, { ids }] of continuations.entries()) offsets[i + 1] = (offsets[i] as number) + ids.length
  const ids = new Int32Array(offsets.at(-1) as number)
  const positions = new Int32Array(ids.length)
  for (const [i, part] of continuations.entries()) {
    const start = offsets[i] as number
    ids.set(part.ids, start)
    for (let j = 0; j < part.ids.length; j++) positions[start + j] = part.cache.length + j
  }
  return { ids, positions, offsets }
}

function lastRows(hidden: tf.Tensor2D, offsets: Int32Array): tf.Tensor2D {
  const rows = Array.from(offsets.subarray(1), (end) => end - 1)
  return rows.length === hidden.shape[0] ? hidden : tf.gather(hidden, rows)
}

/** One layer of one pass. */
interface LayerPass {
  readonly continuations: readonly Continuation[]
  readonly rows: TokenRows
  readonly layer: number
}

/**
 * Attention of one layer: the new keys and values go into the caches, and every continuation sees its own. Sequences
 * that all begin here attend among the pass's rows at once, as in training.
 */
function attendCaches(config: ModelConfig, { continuations, rows: { offsets }, layer }: LayerPass): Attend {
  const { heads, kvHeads, headDim } = config
  const shape = attentionShape(config, layer)
  return ({ q, k, v }) => {
    const [keys, values] = [k.dataSync() as Float32Array, v.dataSync() as Float32Array]
    const store = (cache: KvCache, first: number, end: number): void => {
      const width = kvHeads * headDim
      cache.keys[layer]?.set(keys.subarray(first * width, end * width), cache.length * width)
      cache.values[layer]?.set(values.subarray(first * width, end * width), cache.length * width)
    }
    const bounds = (i: number): [number, number] => [offsets[i] as number, offsets[i + 1] as number]
    if (continuations.every(({ cache }) => cache.length === 0)) {
      for (const [i, { cache }] of continuations.entries()) store(cache, ...bounds(i))
      return causalAttention({ q, k, v }, { ...shape, offsets })
    }
    const parts = continuations.map(({ cache }, i) => {
      const [first, end] = bounds(i)
      store(cache, first, end) // just before it is read: continuations may share this cache
      const own = tf.slice(q, [first, 0], [end - first, heads * headDim])
      const [k, v] = [cache.keys[layer] as Float32Array, cache.values[layer] as Float32Array]
      return cachedAttention({ q: own, k, v }, { ...shape, past: cache.length })
    })
    return parts.length === 1 ? (parts[0] as tf.Tensor2D) : tf.concat(parts, 0)
  }
}
