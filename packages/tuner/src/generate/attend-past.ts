import { causalAttention } from "@lamina/kernels"
import * as tf from "@tensorflow/tfjs-core"

/** Above this many new tokens the native kernel over past and new ones together is faster than the loops here. */
const LOOP_TOKENS = 4

/** One layer of a cache, and how its heads lie. */
interface PastAttention {
  /** (capacity, kvHeads·headDim), the rows of the new tokens written. */
  readonly keys: Float32Array
  readonly values: Float32Array
  /** Tokens before the new ones. */
  readonly past: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly scale: number
}

/** Attention of n new tokens, q (n, heads·headDim), to those in the cache and to each other -> the shape of q. */
export function attendPast(q: tf.Tensor2D, layer: PastAttention): tf.Tensor2D {
  return q.shape[0] <= LOOP_TOKENS ? attendOneByOne(q, layer) : attendTogether(q, layer)
}

function attendOneByOne(q: tf.Tensor2D, layer: PastAttention): tf.Tensor2D {
  const { past, heads, headDim } = layer
  const queries = q.dataSync() as Float32Array
  const y = new Float32Array(queries.length)
  for (let row = 0; row < q.shape[0]; row++)
    for (let head = 0; head < heads; head++) {
      const start = (row * heads + head) * headDim
      attendHead(queries.subarray(start, start + headDim), y.subarray(start, start + headDim), {
        ...layer,
        tokens: past + row + 1,
        kvHead: Math.floor((head * layer.kvHeads) / heads),
      })
    }
  return tf.tensor2d(y, [q.shape[0], q.shape[1]])
}

/** y (headDim) = softmax(scale · K q) V over the first `tokens` rows of one key head. */
function attendHead(
  q: Float32Array,
  y: Float32Array,
  { keys, values, kvHeads, headDim, scale, tokens, kvHead }: PastAttention & { tokens: number; kvHead: number },
): void {
  const width = kvHeads * headDim
  const weights = new Float64Array(tokens)
  let most = -Infinity
  for (let t = 0; t < tokens; t++) {
    const at = t * width + kvHead * headDim
    let dot = 0
    for (let i = 0; i < headDim; i++) dot += (q[i] as number) * (keys[at + i] as number)
    weights[t] = dot * scale
    most = Math.max(most, dot * scale)
  }
  let sum = 0
  for (let t = 0; t < tokens; t++) sum += weights[t] = Math.exp((weights[t] as number) - most)
  for (let t = 0; t < tokens; t++) {
    const at = t * width + kvHead * headDim
    const weight = (weights[t] as number) / sum
    for (let i = 0; i < headDim; i++) y[i] = (y[i] as number) + weight * (values[at + i] as number)
  }
}

/** Queries of the past are zeros: what they attend to is dropped again. */
function attendTogether(q: tf.Tensor2D, { keys, values, past, ...shape }: PastAttention): tf.Tensor2D {
  const [rows, columns] = q.shape
  const total = past + rows
  const width = shape.kvHeads * shape.headDim
  const tensor = (data: Float32Array): tf.Tensor2D => tf.tensor2d(data.slice(0, total * width), [total, width])
  const padded = tf.concat([tf.zeros<tf.Rank.R2>([past, columns]), q], 0)
  const { heads, kvHeads, headDim, scale } = shape
  const attrs = { heads, kvHeads, headDim, scale, offsets: Int32Array.of(0, total) }
  const y = causalAttention({ q: padded, k: tensor(keys), v: tensor(values) }, attrs)
  return tf.slice(y, [past, 0], [rows, columns])
}
