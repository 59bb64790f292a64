import { gelu, swiglu } from "@lamina/kernels"
import type { GeluAttrs, SwigluKeepAttrs, SwigluKept } from "@lamina/kernels"
import type * as tf from "@tensorflow/tfjs-core"

import type { ModelConfig } from "../api.js"
import { runKernel } from "./run-kernel.js"

/** What the MLP's first linears give, (T, ffn); without a gate the activation is GELU. */
export interface MlpInner {
  readonly gate?: tf.Tensor2D
  readonly up: tf.Tensor2D
}

/** What the gradient needs of MlpInner: `up` itself, or the gate and it as the backend keeps them. */
export interface MlpKept {
  readonly innerFirst: tf.Tensor2D
  readonly innerSecond?: tf.Tensor2D
}

/** What the MLP's last linear takes, (T, ffn). */
export function activated(config: ModelConfig, { gate, up }: MlpInner): tf.Tensor2D {
  return gate ? swiglu(gate, up) : gelu(up, geluForm(config))
}

/** `activated`, and what to keep for its gradient. */
export function activatedAndKept(
  config: ModelConfig,
  { gate, up }: MlpInner,
  attrs: SwigluKeepAttrs,
): { product: tf.Tensor2D; kept: MlpKept } {
  if (!gate) return { product: gelu(up, geluForm(config)), kept: { innerFirst: up } }
  const [product, innerFirst, innerSecond] = runKernel("SwigluKeep", { gate, up }, attrs)
  return { product: product!, kept: { innerFirst: innerFirst!, ...(innerSecond && { innerSecond }) } }
}

/** `activated` again, from what was kept. */
export function activatedAgain(config: ModelConfig, kept: MlpKept): tf.Tensor2D {
  if (!hasGate(config)) return gelu(kept.innerFirst, geluForm(config))
  return runKernel("SwigluOfKept", gatedKept(kept), {})[0]!
}

/** d loss / d gate and d up, from that of `activated`. */
export function activationGradient(config: ModelConfig, dy: tf.Tensor2D, kept: MlpKept): MlpInner {
  if (!hasGate(config)) return { up: runKernel("GeluGrad", { dy, x: kept.innerFirst }, geluForm(config))[0]! }
  const [dGate, dUp] = runKernel("SwigluGradOfKept", { dy, ...gatedKept(kept) }, {})
  return { gate: dGate!, up: dUp! }
}

function gatedKept({ innerFirst, innerSecond }: MlpKept): SwigluKept<tf.Tensor2D> & Record<string, tf.Tensor2D> {
  return { first: innerFirst, ...(innerSecond && { second: innerSecond }) }
}

function hasGate({ activation }: ModelConfig): boolean {
  return activation === undefined
}

function geluForm({ activation }: ModelConfig): GeluAttrs {
  return { tanh: activation === "gelu_tanh" }
}
