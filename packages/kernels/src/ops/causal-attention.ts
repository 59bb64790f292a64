import type * as tf from "@tensorflow/tfjs-core"

import { expectShape, KernelError } from "../errors.js"
import { gradientGroup } from "./gradient-group.js"
import type { AttentionAttrs } from "./kernel-args.js"
import { runMany, runOne } from "./run-kernel.js"

export interface CausalAttentionArgs {
  /** (T, heads·headDim), turned by `rope`. */
  readonly q: tf.Tensor2D
  /** (T, kvHeads·headDim), turned by `rope`. */
  readonly k: tf.Tensor2D
  /** (T, kvHeads·headDim). */
  readonly v: tf.Tensor2D
}

/**
 * softmax(scale · q·kᵀ)·v per head and segment -> (T, heads·headDim); a token sees itself and earlier tokens of its own
 * segment, with a window no more than that many in all. Query head h reads key head floor(h · kvHeads / heads) (Ainslie
 * et al. 2023, arXiv:2305.13245). Throws KERNEL_SHAPE.
 */
export function causalAttention({ q, k, v }: CausalAttentionArgs, attrs: AttentionAttrs): tf.Tensor2D {
  const { heads, kvHeads, headDim, offsets, window } = attrs
  const tokens = q.shape[0]
  if (heads % kvHeads !== 0)
    throw new KernelError("KERNEL_SHAPE", `heads: expected a multiple of kvHeads ${kvHeads}, got ${heads}`)
  expectShape("q", [tokens, heads * headDim], q.shape)
  expectShape("k", [tokens, kvHeads * headDim], k.shape)
  expectShape("v", [tokens, kvHeads * headDim], v.shape)
  checkOffsets(offsets, tokens)
  checkWindow(window)
  return runOne("CausalAttention", { q, k, v }, attrs)
}

function checkOffsets(offsets: Int32Array, tokens: number): void {
  expectShape("offsets[0]", 0, offsets[0] ?? -1)
  expectShape("last offset", tokens, offsets[offsets.length - 1]!)
  for (let s = 1; s < offsets.length; s++)
    if (offsets[s]! <= offsets[s - 1]!)
      throw new KernelError("KERNEL_SHAPE", `offsets: expected rising, got ${offsets[s - 1]} before ${offsets[s]}`)
}

/** Throws KERNEL_SHAPE unless `window` is left out or a whole number from 1. */
export function checkWindow(window: number | undefined): void {
  if (window !== undefined && !(Number.isInteger(window) && window >= 1))
    throw new KernelError("KERNEL_SHAPE", `window: expected a whole number from 1, got ${window}`)
}

export const causalAttentionGradient: tf.GradConfig = {
  kernelName: "CausalAttention",
  inputsToSave: ["q", "k", "v"],
  gradFunc: (dy, saved, attrs) => {
    const [q, k, v] = saved
    return gradientGroup(["q", "k", "v"], () => {
      const [dq, dk, dv] = runMany("CausalAttentionGrad", { dy: dy as tf.Tensor, q, k, v }, attrs)
      return { q: dq, k: dk, v: dv }
    })
  },
}
