/** Aggregation rules by their names in recipes and round headers; what each does: packages/aggregation. */
export const STRATEGY_NAMES = [
  ...["flora", "florist", "flexlora", "fedit", "zeropad", "hetlora", "ffa", "fedex", "fedpipe"],
] as const
export type StrategyName = (typeof STRATEGY_NAMES)[number]
