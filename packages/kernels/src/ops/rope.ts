import type * as tf from "@tensorflow/tfjs-core"

import { expectShape, KernelError } from "../errors.js"
import type { RopeAttrs } from "./kernel-args.js"
import { runOne } from "./run-kernel.js"

/** cos and sin of every angle, (P, headDim/2) for positions 0..P-1. */
export interface RopeTable {
  readonly headDim: number
  readonly cos: Float32Array
  readonly sin: Float32Array
}

/**
 * Turns the pairs (i, i + headDim/2) of every head of x (T, heads·headDim) by the angle of each token's position (T),
 * as transformers' Llama does. Su et al. 2021 (arXiv:2104.09864), section 3.2. Throws KERNEL_SHAPE, also for a position
 * past the table.
 */
export function rope(x: tf.Tensor2D, table: RopeTable, positions: Int32Array): tf.Tensor2D {
  const { headDim, cos, sin } = table
  if (headDim % 2 !== 0 || x.shape[1]! % headDim !== 0)
    throw new KernelError(
      "KERNEL_SHAPE",
      `rope x: expected whole heads of even headDim ${headDim}, got ${x.shape[1]} columns`,
    )
  expectShape("rope positions", x.shape[0]!, positions.length)
  expectShape("rope sin", cos.length, sin.length)
  const rows = cos.length / (headDim / 2)
  for (const position of positions)
    if (position < 0 || position >= rows)
      throw new KernelError("KERNEL_SHAPE", `rope position: expected 0..${rows - 1}, got ${position}`)
  const attrs: RopeAttrs = { headDim, positions, cos, sin, inverse: false }
  return runOne("Rope", { x }, attrs)
}

/** A rotation's gradient is the rotation back. */
export const ropeGradient: tf.GradConfig = {
  kernelName: "Rope",
  gradFunc: (dy, _saved, attrs) => {
    const { inverse } = attrs as unknown as RopeAttrs
    return { x: () => runOne("Rope", { x: dy as tf.Tensor }, { ...attrs, inverse: !inverse }) }
  },
}
