import * as tf from "@tensorflow/tfjs-core"

import type { CachedAttentionAttrs } from "../ops/kernel-args.js"
import { causalMask } from "./causal-attention.js"

/** Kernel `CachedAttention`, head by head: softmax(scale·q·kᵀ + causal mask)·v over the rows of the cache in use. */
export function cachedAttentionReference({ q }: { q: tf.Tensor2D }, attrs: CachedAttentionAttrs): tf.Tensor2D {
  const { heads, kvHeads, headDim, scale, past, window } = attrs
  const [rows, width] = [q.shape[0], kvHeads * headDim]
  const end = past + rows
  const held = [attrs.keys, attrs.values].map((cache) => tf.tensor2d(cache.slice(0, end * width), [end, width]))
  const mask = causalMask({ rows, past, window })
  const outputs = Array.from({ length: heads }, (_, head) => {
    const [k, v] = held.map((x) => tf.slice(x, [0, Math.floor((head * kvHeads) / heads) * headDim], [end, headDim]))
    const query = tf.slice(q, [0, head * headDim], [rows, headDim])
    const scores: tf.Tensor2D = tf.add(tf.mul(tf.matMul(query, k!, false, true), scale), mask)
    return tf.matMul(tf.softmax(scores), v!) as tf.Tensor2D
  })
  return tf.concat(outputs, 1)
}
