import * as tf from "@tensorflow/tfjs-core"

/** Kernels `Keep` and `Kept`: nothing is rounded. */
export function keepReference({ x }: { x: tf.Tensor2D }): tf.Tensor2D {
  return tf.clone(x)
}
