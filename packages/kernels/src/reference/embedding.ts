import * as tf from "@tensorflow/tfjs-core"

import { dequantizeRow } from "../dequantize.js"
import type { EmbeddingAttrs } from "../ops/kernel-args.js"

/** Kernel `Embedding`: only the rows asked for are dequantized. */
export function embeddingReference(_inputs: object, { ids, weight }: EmbeddingAttrs): tf.Tensor2D {
  const rows = new Float32Array(ids.length * weight.cols)
  for (const [token, id] of ids.entries()) dequantizeRow(weight, id, rows, token * weight.cols)
  return tf.tensor2d(rows, [ids.length, weight.cols])
}
