import type { AttentionAttrs } from "@lamina/kernels"

import type { ModelConfig } from "../api.js"

/** Attention of one layer, but for the tokens it runs over and its arithmetic. */
export type AttentionShape = Omit<AttentionAttrs, "offsets" | "precision">

/** How a layer's heads attend; `window`: a token sees itself and the `window` - 1 before it only. */
export function attentionShape(config: ModelConfig, layer: number): AttentionShape {
  const { heads, kvHeads, headDim } = config
  const window = config.windows?.[layer] ?? 0
  return { heads, kvHeads, headDim, scale: 1 / Math.sqrt(headDim), ...(window > 0 && { window }) }
}
