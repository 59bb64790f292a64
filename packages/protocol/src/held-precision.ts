/** How a client may hold the base in memory, as plans, capabilities and recipes say it. */
export const HELD_PRECISIONS = ["f32", "bf16", "q8", "q4", "nf4"] as const
export type HeldPrecision = (typeof HELD_PRECISIONS)[number]

type Preferred = readonly [HeldPrecision, ...HeldPrecision[]]
const QUANTIZED_FIRST: Preferred = ["q8", "q4", "nf4", "bf16", "f32"]
const FLOATS: Preferred = ["bf16", "f32"]

/**
 * How plans may hold the base, what is preferred first: q8, whose losses are those of training without it (bench,
 * precision-drift), then what is smaller; the wider ones are for clients that name one. A global adapter that is added
 * to the base needs a float: a quantized one would round it away.
 */
export function plannedPrecisions({ merge }: { readonly merge: boolean }): Preferred {
  return merge ? FLOATS : QUANTIZED_FIRST
}
