import type { StrategySettings } from "@lamina/aggregation"
import type { Recipe } from "@lamina/protocol/recipe"

/** What a recipe tells its strategy. */
export function strategySettings({ lora, globalAdapter, strategyOptions, serverOptimizer }: Recipe): StrategySettings {
  const { tau, maxRank } = globalAdapter
  return {
    alphaPerRank: lora.alphaPerRank,
    scaling: lora.scaling,
    compress: { tau, ...(maxRank === undefined ? {} : { maxRank }) },
    tau: strategyOptions.tau,
    pruneTo: strategyOptions.pruneTo,
    combine: strategyOptions.combine,
    serverOptimizer,
  }
}
