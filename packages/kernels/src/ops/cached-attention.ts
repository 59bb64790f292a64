import type * as tf from "@tensorflow/tfjs-core"

import { expectShape, KernelError } from "../errors.js"
import { checkWindow } from "./causal-attention.js"
import type { CachedAttentionAttrs } from "./kernel-args.js"
import { runOne } from "./run-kernel.js"

export interface CachedAttentionArgs {
  /** (n, heads·headDim), turned by `rope`. */
  readonly q: tf.Tensor2D
  /** (capacity, kvHeads·headDim), turned by `rope`; holds the rows of the n tokens too. */
  readonly k: Float32Array
  /** As k. */
  readonly v: Float32Array
}

/**
 * Attention of the n tokens at positions past .. past+n-1 of one sequence against its cache -> (n, heads·headDim);
 * forward only. The caller owns the cache, and nothing here writes to it. Throws KERNEL_SHAPE, also where the cache is
 * too short.
 */
export function cachedAttention(
  { q, k, v }: CachedAttentionArgs,
  attrs: Omit<CachedAttentionAttrs, "keys" | "values">,
): tf.Tensor2D {
  const { heads, kvHeads, headDim, past, window } = attrs
  const width = kvHeads * headDim
  if (heads % kvHeads !== 0)
    throw new KernelError("KERNEL_SHAPE", `heads: expected a multiple of kvHeads ${kvHeads}, got ${heads}`)
  expectShape("q", [q.shape[0], heads * headDim], q.shape)
  expectShape("v", k.length, v.length)
  if (!Number.isInteger(past) || past < 0 || k.length % width !== 0 || (past + q.shape[0]) * width > k.length)
    throw new KernelError(
      "KERNEL_SHAPE",
      `k: expected whole rows of ${width} for past ${past} and ${q.shape[0]} more tokens, got ${k.length} values`,
    )
  checkWindow(window)
  return runOne("CachedAttention", { q }, { ...attrs, keys: k, values: v })
}
