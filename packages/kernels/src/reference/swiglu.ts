import * as tf from "@tensorflow/tfjs-core"

/** Kernel `Swiglu`: gate · sigmoid(gate) · up. Shazeer 2020 (arXiv:2002.05202), equation 5. */
export function swigluReference({ gate, up }: { gate: tf.Tensor2D; up: tf.Tensor2D }): tf.Tensor2D {
  return tf.mul(tf.mul(gate, tf.sigmoid(gate)), up)
}

/** Kernel `SwigluGrad`. With σ = sigmoid(g): dgate = dy · up · σ·(1 + g·(1 - σ)), dup = dy · g·σ. */
export function swigluGradReference({
  dy,
  gate,
  up,
}: {
  dy: tf.Tensor2D
  gate: tf.Tensor2D
  up: tf.Tensor2D
}): tf.Tensor[] {
  const sigma = tf.sigmoid(gate)
  const slope = tf.mul(sigma, tf.add(tf.mul(gate, tf.sub(1, sigma)), 1))
  return [tf.mul(tf.mul(dy, up), slope), tf.mul(dy, tf.mul(gate, sigma))]
}

/** Kernel `SwigluKeep`: the plain product, and both inputs as they are. */
export function swigluKeepReference({ gate, up }: { gate: tf.Tensor2D; up: tf.Tensor2D }): tf.Tensor[] {
  return [swigluReference({ gate, up }), tf.clone(gate), tf.clone(up)]
}

/** Kernel `SwigluOfKept`. */
export function swigluOfKeptReference({ first, second }: { first: tf.Tensor2D; second: tf.Tensor2D }): tf.Tensor2D {
  return swigluReference({ gate: first, up: second })
}

/** Kernel `SwigluGradOfKept`. */
export function swigluGradOfKeptReference({
  dy,
  first,
  second,
}: {
  dy: tf.Tensor2D
  first: tf.Tensor2D
  second: tf.Tensor2D
}): tf.Tensor[] {
  return swigluGradReference({ dy, gate: first, up: second })
}
