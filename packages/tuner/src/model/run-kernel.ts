import * as tf from "@tensorflow/tfjs-core"

/** Runs a kernel of @lamina/kernels' kernel-args.ts, off the tape; its outputs as a list. */
export function runKernel(name: string, inputs: Record<string, tf.Tensor>, attrs: object): tf.Tensor2D[] {
  const outputs = tf.engine().runKernel(name, inputs, attrs as unknown as tf.NamedAttrMap)
  return (Array.isArray(outputs) ? outputs : [outputs]) as tf.Tensor2D[]
}
