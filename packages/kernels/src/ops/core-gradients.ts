import * as tf from "@tensorflow/tfjs-core"

/**
 * Gradients of the tfjs ops that stand between ours (residual sums, scaling, reshaping). `@tensorflow/tfjs-core` alone
 * registers none; the package that does, `@tensorflow/tfjs`, weighs 272 MB.
 */
export const coreGradients: readonly tf.GradConfig[] = [
  {
    kernelName: "Add",
    inputsToSave: ["a", "b"],
    gradFunc: (dy, [a, b]) => ({ a: () => sumTo(one(dy), a!.shape), b: () => sumTo(one(dy), b!.shape) }),
  },
  {
    kernelName: "Sub",
    inputsToSave: ["a", "b"],
    gradFunc: (dy, [a, b]) => ({ a: () => sumTo(one(dy), a!.shape), b: () => sumTo(tf.neg(one(dy)), b!.shape) }),
  },
  {
    kernelName: "Multiply",
    inputsToSave: ["a", "b"],
    gradFunc: (dy, [a, b]) => ({
      a: () => sumTo(tf.mul(one(dy), b!), a!.shape),
      b: () => sumTo(tf.mul(one(dy), a!), b!.shape),
    }),
  },
  { kernelName: "Neg", gradFunc: (dy) => ({ x: () => tf.neg(one(dy)) }) },
  { kernelName: "Identity", gradFunc: (dy) => ({ x: () => tf.clone(one(dy)) }) },
  { kernelName: "Cast", gradFunc: (dy) => ({ x: () => tf.clone(one(dy)) }) },
  { kernelName: "Reshape", inputsToSave: ["x"], gradFunc: (dy, [x]) => ({ x: () => tf.reshape(one(dy), x!.shape) }) },
  {
    kernelName: "Sum",
    inputsToSave: ["x"],
    gradFunc: (dy, [x], attrs) => {
      const axes = tf.util.parseAxisParam((attrs as unknown as { axis: number | number[] }).axis, x!.shape)
      const kept = x!.shape.map((size, axis) => (axes.includes(axis) ? 1 : size))
      return { x: () => tf.mul(tf.reshape(one(dy), kept), tf.onesLike(x!)) }
    },
  },
]

function one(dy: tf.Tensor | tf.Tensor[]): tf.Tensor {
  return dy as tf.Tensor
}

/** The gradient of a broadcast: the sum over what was repeated. */
function sumTo(dy: tf.Tensor, shape: number[]): tf.Tensor {
  const axes = tf.broadcast_util.getReductionAxes(shape, dy.shape)
  return tf.reshape(axes.length > 0 ? tf.sum(dy, axes) : dy, shape)
}
