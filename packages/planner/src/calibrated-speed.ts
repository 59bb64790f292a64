import type { BaseShape } from "./api.js"
import { referenceCost } from "./time-model.js"

/** The model on which every client measures itself (apps/client, calibration.ts), at its context. */
const CALIBRATION = { hidden: 256, layers: 4, heads: 4, kvHeads: 4, headDim: 64, ffn: 512, vocabulary: 29 }
const CALIBRATION_CONTEXT = 128

/**
 * `DeviceProfile.tokensPerSecond` of a client on `base` with rows of `context` tokens, from the tokens per second that
 * it reports of the calibration model (`Capability.tokensPerSecond`): by the FLOPs of the reference plan on both. A
 * first guess, since large products run nearer to a machine's peak than small ones; `corrected` does the rest. 0 stays
 * 0.
 */
export function calibratedSpeed(
  base: Omit<BaseShape, "modules" | "bytes">,
  { tokensPerSecond, context }: { tokensPerSecond: number; context: number },
): number {
  return (tokensPerSecond * referenceCost(CALIBRATION, CALIBRATION_CONTEXT)) / referenceCost(base, context)
}
