import { plannedPrecisions } from "@lamina/protocol"
import type { HeldPrecision } from "@lamina/protocol"
import type { Recipe, SimulatedDevice } from "@lamina/protocol/recipe"

/** What a virtual client is limited to, and how it holds the base. */
export interface Afforded {
  /** Largest rank it trains, the recipe's at most. */
  readonly rank: number
  /** Storage of the base its held-out data is scored on, and that it trains on unless its plan is free to choose. */
  readonly precision: HeldPrecision
  /** The one storage it tells the coordinator that it trains on; none: its plan may name any. */
  readonly namedPrecision?: HeldPrecision
}

/**
 * What a client of this recipe affords: what it says itself goes first, then its device. Where neither names a
 * precision, strategy `fedpipe` plans it, as `lamina plan` shows; under the others it is the one that is preferred.
 */
export function affordedBy(
  { strategy, lora, globalAdapter }: Recipe,
  device: SimulatedDevice,
  own: { readonly rank?: number | undefined; readonly precision?: HeldPrecision | undefined },
): Afforded {
  const named = own.precision ?? device.precision
  const precision = named ?? plannedPrecisions(globalAdapter)[0]
  const told = strategy === "fedpipe" ? named : precision
  const rank = Math.min(own.rank ?? device.rank ?? lora.rank, lora.rank)
  return { rank, precision, ...(told === undefined ? {} : { namedPrecision: told }) }
}
