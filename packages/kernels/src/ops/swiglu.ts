import type * as tf from "@tensorflow/tfjs-core"

import { expectShape } from "../errors.js"
import { gradientGroup } from "./gradient-group.js"
import { runMany, runOne } from "./run-kernel.js"

/**
 * gate, up (T,F) -> silu(gate) · up, silu(g) = g / (1 + exp(-g)). Shazeer 2020 (arXiv:2002.05202), equation 5. Throws
 * KERNEL_SHAPE.
 */
export function swiglu(gate: tf.Tensor2D, up: tf.Tensor2D): tf.Tensor2D {
  expectShape("swiglu up", gate.shape, up.shape)
  return runOne("Swiglu", { gate, up }, {})
}

export const swigluGradient: tf.GradConfig = {
  kernelName: "Swiglu",
  inputsToSave: ["gate", "up"],
  gradFunc: (dy, saved) => {
    const [gate, up] = saved
    return gradientGroup(["gate", "up"], () => {
      const [dgate, dup] = runMany("SwigluGrad", { dy: dy as tf.Tensor, gate, up }, {})
      return { gate: dgate, up: dup }
    })
  },
}
