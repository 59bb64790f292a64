import * as tf from "@tensorflow/tfjs-core"

import { expectShape } from "../errors.js"
import { checkFrozen } from "../frozen.js"
import type { FrozenWeight } from "../frozen.js"
import { checkIds } from "./check-ids.js"
import type { LmHeadAttrs, Precision } from "./kernel-args.js"
import { runMany } from "./run-kernel.js"

export interface LmHeadArgs {
  /** Output of the last norm, (T,D). */
  readonly x: tf.Tensor2D
  /** W (V,D). */
  readonly weight: FrozenWeight
  /** (T) id each token should predict; -1: not counted. */
  readonly targets: Int32Array
  /** Default f32. */
  readonly precision?: Precision
}

/**
 * Scalar mean, over targets >= 0, of -log softmax(x·Wᵀ)[target] (natural log); 0 when nothing is counted. The gradient
 * of x is computed on the way while a tape records, and not at all outside of one. Throws KERNEL_SHAPE.
 */
export function lmHeadCrossEntropy(args: LmHeadArgs): tf.Scalar {
  const { loss, accuracy } = lmHeadScores(args)
  accuracy.dispose()
  return loss
}

/** The same, and the share of targets >= 0 whose logit no other exceeds (0 when nothing is counted). */
export function lmHeadScores(args: LmHeadArgs): { readonly loss: tf.Scalar; readonly accuracy: tf.Scalar } {
  const { x, weight, targets, precision = "f32" } = args
  checkFrozen("lm head weight", weight)
  expectShape("lm head x", [targets.length, weight.cols], x.shape)
  checkIds("target", targets, { min: -1, vocabulary: weight.rows })
  const attrs: LmHeadAttrs = { weight, targets, needsDx: tf.engine().isTapeOn(), precision }
  const [loss, accuracy, dx] = runMany("LmHeadCrossEntropy", { x }, attrs) as [tf.Scalar, tf.Scalar, tf.Tensor?]
  dx?.dispose() // the tape saved a handle of its own
  return { loss, accuracy }
}

export const lmHeadCrossEntropyGradient: tf.GradConfig = {
  kernelName: "LmHeadCrossEntropy",
  outputsToSave: [false, false, true],
  gradFunc: (dys, saved) => ({ x: () => tf.mul((dys as tf.Tensor[])[0]!, saved[0]!) }),
}
