import * as tf from "@tensorflow/tfjs-core"

import type { RmsNormAttrs } from "../ops/kernel-args.js"

/** Kernel `RmsNorm`. Zhang & Sennrich 2019 (arXiv:1910.07467), equation 4. */
export function rmsNormReference({ x }: { x: tf.Tensor2D }, attrs: RmsNormAttrs): tf.Tensor2D {
  return tf.mul(tf.mul(x, inverseRms(x, attrs.eps)), tf.tensor1d(attrs.weight))
}

/** Kernel `RmsNormGrad`. With i = 1 / rms and g = dy · weight: dx = [plus +] i · (g - x · i² · mean(g · x)). */
export function rmsNormGradReference(
  { dy, x, plus }: { dy: tf.Tensor2D; x: tf.Tensor2D; plus?: tf.Tensor2D },
  attrs: RmsNormAttrs,
): tf.Tensor2D {
  const inverse = inverseRms(x, attrs.eps)
  const g = tf.mul(dy, tf.tensor1d(attrs.weight))
  const projection = tf.mul(tf.square(inverse), tf.mean(tf.mul(g, x), 1, true))
  const dx = tf.mul<tf.Tensor2D>(inverse, tf.sub(g, tf.mul(x, projection)))
  return plus ? tf.add(plus, dx) : dx
}

/** (T,1). */
function inverseRms(x: tf.Tensor2D, eps: number): tf.Tensor2D {
  return tf.rsqrt(tf.add(tf.mean(tf.square(x), 1, true), eps)) as tf.Tensor2D
}
