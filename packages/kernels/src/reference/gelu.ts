import * as tf from "@tensorflow/tfjs-core"

import type { GeluAttrs } from "../ops/kernel-args.js"

const SLOPE = Math.sqrt(8 / Math.PI)
const CUBE = 0.044715

/** Kernel `Gelu`. 1 + tanh(u) is 2 sigmoid(2u). Hendrycks & Gimpel 2016 (arXiv:1606.08415), section 2. */
export function geluReference({ x }: { x: tf.Tensor2D }, { tanh }: GeluAttrs): tf.Tensor2D {
  return tf.mul(x, tanh ? tanhShare(x) : normalShare(x))
}

/** Kernel `GeluGrad`: of x · s the slope s + x · s'. */
export function geluGradReference({ dy, x }: { dy: tf.Tensor2D; x: tf.Tensor2D }, { tanh }: GeluAttrs): tf.Tensor2D {
  if (!tanh) {
    const density = tf.mul(tf.exp(tf.mul(tf.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI))
    return tf.mul(dy, tf.add(normalShare(x), tf.mul(x, density)))
  }
  const share = tanhShare(x)
  const inner = tf.mul(tf.add(tf.mul(tf.square(x), 3 * CUBE), 1), SLOPE)
  return tf.mul(dy, tf.add(share, tf.mul(tf.mul(x, inner), tf.mul(share, tf.sub(1, share)))))
}

function tanhShare(x: tf.Tensor2D): tf.Tensor {
  return tf.sigmoid(tf.mul(tf.add(x, tf.mul(tf.mul(tf.square(x), x), CUBE)), SLOPE))
}

function normalShare(x: tf.Tensor2D): tf.Tensor {
  return tf.mul(tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1), 0.5)
}
