import type * as tf from "@tensorflow/tfjs-core"

import type { GeluAttrs } from "./kernel-args.js"
import { runOne } from "./run-kernel.js"

/**
 * x (T,F) -> x · Phi(x); with `tanh` x/2 · (1 + tanh(sqrt(2/pi) · (x + 0.044715 x³))), GPT-2's form. Hendrycks & Gimpel
 * 2016 (arXiv:1606.08415).
 */
export function gelu(x: tf.Tensor2D, attrs: GeluAttrs): tf.Tensor2D {
  return runOne("Gelu", { x }, attrs)
}

export const geluGradient: tf.GradConfig = {
  kernelName: "Gelu",
  inputsToSave: ["x"],
  gradFunc: (dy, saved, attrs) => ({ x: () => runOne("GeluGrad", { dy: dy as tf.Tensor, x: saved[0]! }, attrs) }),
}
