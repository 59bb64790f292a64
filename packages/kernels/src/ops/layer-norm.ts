import type * as tf from "@tensorflow/tfjs-core"

import { expectShape } from "../errors.js"
import type { LayerNormAttrs } from "./kernel-args.js"
import { runOne } from "./run-kernel.js"

/**
 * x (T,D) -> (x - mean) / sqrt(variance + eps) · weight (D) + bias (D), of every row. Ba et al. 2016
 * (arXiv:1607.06450), equation 4. Throws KERNEL_SHAPE.
 */
export function layerNorm(x: tf.Tensor2D, attrs: LayerNormAttrs): tf.Tensor2D {
  expectShape("layerNorm x", [x.shape[0], attrs.weight.length], x.shape)
  expectShape("layerNorm bias", attrs.weight.length, attrs.bias.length)
  return runOne("LayerNorm", { x }, attrs)
}

export const layerNormGradient: tf.GradConfig = {
  kernelName: "LayerNorm",
  inputsToSave: ["x"],
  gradFunc: (dy, saved, attrs) => ({ x: () => runOne("LayerNormGrad", { dy: dy as tf.Tensor, x: saved[0]! }, attrs) }),
}
