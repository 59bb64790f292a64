import type { BaseShape } from "./api.js"
import { tokenCost } from "./time-model.js"
import type { Widths } from "./time-model.js"

/**
 * The model that every client measures itself with (apps/client calibration.ts): hidden 256, 4 layers, ffn 512, trained
 * with rank 8 on every linear, 128 tokens.
 */
const CALIBRATION = { hidden: 256, layers: 4, heads: 4, kvHeads: 4, headDim: 64, ffn: 512, vocabulary: 28 } as const
const CALIBRATION_RANK = 8
const CALIBRATION_CONTEXT = 128
const REFERENCE_RANK = 16

/**
 * Tokens/s of the reference plan (every linear at rank 16) on this base, from what the client measured on the
 * calibration model: the same FLOPs per second. An estimate; measured rounds correct it.
 */
export function referenceSpeed(base: BaseShape, measured: { calibrated: number; context: number }): number {
  return measured.calibrated / calibrationRatio(base, measured.context)
}

/** How many calibration tokens take the time of one token of the reference plan on this base. */
export function calibrationRatio(base: BaseShape, context: number): number {
  const calibration = costPerToken(CALIBRATION, { context: CALIBRATION_CONTEXT, rank: CALIBRATION_RANK })
  return costPerToken(base, { context, rank: REFERENCE_RANK }) / calibration
}

function costPerToken(shape: Widths, { context, rank }: { context: number; rank: number }): number {
  const { hidden, layers, heads, kvHeads, headDim, ffn } = shape
  const sides = 2 * (hidden + heads * headDim) + 2 * (hidden + kvHeads * headDim) + 3 * (hidden + ffn)
  return tokenCost(shape, { context, lowestLayer: 0, parameters: rank * layers * sides, gradientCheckpointing: false })
}
