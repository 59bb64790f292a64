import type { Adapter, StrategyName } from "@lamina/protocol"

import { largestRank } from "./fresh.js"
import { STRATEGIES } from "./strategies.js"
import type { RoundResult, StrategySettings } from "./strategy.js"

/** An adapter somebody names, with its weight (0 or more; p_k = weight / sum). */
export interface NamedAdapter {
  readonly name: string
  readonly weight: number
  readonly adapter: Adapter
}

/** A round without a recipe: lossless, scale 1 where a strategy chooses one, `florist`'s tau as recipes have it. */
const SETTINGS: StrategySettings = {
  ...{ alphaPerRank: 1, scaling: "lora", compress: { tau: 0 } },
  ...{ tau: 0.1, pruneTo: 1, combine: "stack" },
  serverOptimizer: { name: "none", learningRate: 1, beta1: 0, beta2: 0, tau: 1 },
}

/**
 * What `lamina aggregate` does: one first round of a strategy over named adapters, summed in the order given. Throws
 * what the strategy throws.
 */
export function aggregateAdapters(strategy: StrategyName, adapters: readonly NamedAdapter[]): RoundResult {
  const clients = adapters.map(({ name, weight, adapter: { modules } }) => ({
    ...{ clientId: name, weight, rankMax: largestRank(modules) },
  }))
  const round = { settings: SETTINGS, global: undefined, state: undefined, clients }
  const accumulator = STRATEGIES[strategy].accumulate(round)
  accumulator.add(...adapters.map(({ name, weight, adapter }) => ({ clientId: name, weight, adapter })))
  return accumulator.finish()
}
