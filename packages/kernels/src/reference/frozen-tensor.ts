import * as tf from "@tensorflow/tfjs-core"

import type { FrozenWeight } from "../frozen.js"
import { dequantize } from "../dequantize.js"

/**
 * W (M,N) as an f32 tensor, dequantized on the fly: 4 bytes per element while it lives. The caller disposes it (or its
 * tidy does).
 */
export function frozenTensor(weight: FrozenWeight): tf.Tensor2D {
  const values = weight.format === "f32" ? weight.codes : dequantize(weight)
  return tf.tensor2d(values, [weight.rows, weight.cols])
}
