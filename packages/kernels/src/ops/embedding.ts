import type * as tf from "@tensorflow/tfjs-core"

import { checkFrozen } from "../frozen.js"
import { checkIds } from "./check-ids.js"
import type { EmbeddingAttrs } from "./kernel-args.js"
import { runOne } from "./run-kernel.js"

/**
 * Rows ids (T) of the frozen table (V,D) -> (T,D). Nothing here is trained. Throws KERNEL_SHAPE for an id outside
 * 0..V-1.
 */
export function embedding(attrs: EmbeddingAttrs): tf.Tensor2D {
  checkFrozen("embedding weight", attrs.weight)
  checkIds("id", attrs.ids, { min: 0, vocabulary: attrs.weight.rows })
  return runOne("Embedding", {}, attrs)
}
