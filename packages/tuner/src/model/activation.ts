import { gelu, swiglu } from "@lamina/kernels"
import type { GeluAttrs } from "@lamina/kernels"
import type * as tf from "@tensorflow/tfjs-core"

import type { ModelConfig } from "../api.js"
import { runKernel } from "./run-kernel.js"

/** What the MLP's first linears give, (T, ffn); without a gate the activation is GELU. */
interface MlpInner {
  readonly gate?: tf.Tensor2D
  readonly up: tf.Tensor2D
}

/** What the MLP's last linear takes, (T, ffn). */
export function activated(config: ModelConfig, { gate, up }: MlpInner): tf.Tensor2D {
  return gate ? swiglu(gate, up) : gelu(up, geluForm(config))
}

/** d loss / d gate and d up, from that of `activated`. */
export function activationGradient(config: ModelConfig, dy: tf.Tensor2D, { gate, up }: MlpInner): MlpInner {
  if (!gate) return { up: runKernel("GeluGrad", { dy, x: up }, geluForm(config))[0]! }
  const [dGate, dUp] = runKernel("SwigluGrad", { dy, gate, up }, {})
  return { gate: dGate!, up: dUp! }
}

function geluForm({ activation }: ModelConfig): GeluAttrs {
  return { tanh: activation === "gelu_tanh" }
}
