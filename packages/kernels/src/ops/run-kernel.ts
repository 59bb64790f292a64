import * as tf from "@tensorflow/tfjs-core"

/**
 * Runs a kernel of the active backend. tfjs types attributes as plain JSON; ours carry typed arrays (kernel-args.ts),
 * which it passes on untouched.
 */
export function runKernel(
  name: string,
  inputs: Record<string, tf.Tensor | undefined>,
  attrs: object,
): tf.Tensor | tf.Tensor[] {
  const present = Object.entries(inputs).filter((entry): entry is [string, tf.Tensor] => entry[1] !== undefined)
  // tfjs's saveAllInputs, the only rule that allows optional inputs, insists on an array; kernels read the named
  // properties.
  const named = Object.assign([] as tf.Tensor[], Object.fromEntries(present))
  return tf.engine().runKernel(name, named as unknown as tf.NamedTensorMap, attrs as unknown as tf.NamedAttrMap)
}

/** A kernel with exactly one output. */
export function runOne(name: string, inputs: Record<string, tf.Tensor | undefined>, attrs: object): tf.Tensor2D {
  return runKernel(name, inputs, attrs) as tf.Tensor2D
}

/** A kernel with a list of outputs. */
export function runMany(name: string, inputs: Record<string, tf.Tensor | undefined>, attrs: object): tf.Tensor[] {
  return runKernel(name, inputs, attrs) as tf.Tensor[]
}
