/** How a client may hold the base in memory, as plans, capabilities and recipes say it. */
export const HELD_PRECISIONS = ["f32", "bf16", "q8", "q4", "nf4"] as const
export type HeldPrecision = (typeof HELD_PRECISIONS)[number]
