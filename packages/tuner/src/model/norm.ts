import { layerNorm, rmsNorm } from "@lamina/kernels"
import type { LayerNormAttrs, RmsNormAttrs } from "@lamina/kernels"
import * as tf from "@tensorflow/tfjs-core"

import { runKernel } from "./run-kernel.js"

/** A norm's frozen parameters, (D): with a bias it is a layer norm, without one a root-mean-square norm. */
export interface NormWeights {
  readonly weight: Float32Array
  readonly bias?: Float32Array
}

/** The norm of every row of x (T,D); where the weights are shorter than a row, of every head (T, heads·headDim). */
export function norm(x: tf.Tensor2D, { weight, bias }: NormWeights, eps: number): tf.Tensor2D {
  const normed = (rows: tf.Tensor2D): tf.Tensor2D =>
    bias ? layerNorm(rows, { weight, bias, eps }) : rmsNorm(rows, { weight, eps })
  return inHeads(x, weight.length, normed)
}

/** [plus +] d loss / d x of `norm`, from that of its result. */
export function normGradient(
  { dy, x, plus }: { dy: tf.Tensor2D; x: tf.Tensor2D; plus?: tf.Tensor2D },
  { weight, bias }: NormWeights,
  eps: number,
): tf.Tensor2D {
  const attrs: RmsNormAttrs | LayerNormAttrs = { weight, eps, ...(bias && { bias }) }
  const width = weight.length
  const rows = { dy: inRows(dy, width), x: inRows(x, width), ...(plus && { plus: inRows(plus, width) }) }
  return tf.reshape(runKernel(bias ? "LayerNormGrad" : "RmsNormGrad", rows, attrs)[0]!, x.shape)
}

function inHeads(x: tf.Tensor2D, width: number, normed: (rows: tf.Tensor2D) => tf.Tensor2D): tf.Tensor2D {
  return x.shape[1] === width ? normed(x) : tf.reshape(normed(inRows(x, width)), x.shape)
}

function inRows(x: tf.Tensor2D, width: number): tf.Tensor2D {
  return x.shape[1] === width ? x : tf.reshape(x, [x.size / width, width])
}
