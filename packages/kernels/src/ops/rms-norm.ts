import type * as tf from "@tensorflow/tfjs-core"

import { expectShape } from "../errors.js"
import type { RmsNormAttrs } from "./kernel-args.js"
import { runOne } from "./run-kernel.js"

/**
 * x (T,D) -> x / sqrt(mean(x²) + eps) · weight (D). Zhang & Sennrich 2019 (arXiv:1910.07467), equation 4. Throws
 * KERNEL_SHAPE.
 */
export function rmsNorm(x: tf.Tensor2D, attrs: RmsNormAttrs): tf.Tensor2D {
  expectShape("rmsNorm x", [x.shape[0], attrs.weight.length], x.shape)
  return runOne("RmsNorm", { x }, attrs)
}

export const rmsNormGradient: tf.GradConfig = {
  kernelName: "RmsNorm",
  inputsToSave: ["x"],
  gradFunc: (dy, saved, attrs) => ({ x: () => runOne("RmsNormGrad", { dy: dy as tf.Tensor, x: saved[0]! }, attrs) }),
}
