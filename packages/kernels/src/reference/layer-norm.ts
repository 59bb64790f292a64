import * as tf from "@tensorflow/tfjs-core"

import type { LayerNormAttrs } from "../ops/kernel-args.js"

/** Kernel `LayerNorm`. Ba et al. 2016 (arXiv:1607.06450), equation 4. */
export function layerNormReference({ x }: { x: tf.Tensor2D }, attrs: LayerNormAttrs): tf.Tensor2D {
  const { normed } = moments(x, attrs.eps)
  return tf.add(tf.mul(normed, tf.tensor1d(attrs.weight)), tf.tensor1d(attrs.bias))
}

/**
 * Kernel `LayerNormGrad`. With g = dy · weight, n the normed x and i = 1 / deviation:
 * dx = [plus +] i · (g - mean(g) - n · mean(g · n)).
 */
export function layerNormGradReference(
  { dy, x, plus }: { dy: tf.Tensor2D; x: tf.Tensor2D; plus?: tf.Tensor2D },
  attrs: LayerNormAttrs,
): tf.Tensor2D {
  const { normed, inverse } = moments(x, attrs.eps)
  const g = tf.mul(dy, tf.tensor1d(attrs.weight))
  const pulled = tf.mul(normed, tf.mean(tf.mul(g, normed), 1, true))
  const dx = tf.mul<tf.Tensor2D>(inverse, tf.sub(tf.sub(g, tf.mean(g, 1, true)), pulled))
  return plus ? tf.add(plus, dx) : dx
}

function moments(x: tf.Tensor2D, eps: number): { normed: tf.Tensor; inverse: tf.Tensor } {
  const centered = tf.sub(x, tf.mean(x, 1, true))
  const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centered), 1, true), eps))
  return { normed: tf.mul(centered, inverse), inverse }
}
