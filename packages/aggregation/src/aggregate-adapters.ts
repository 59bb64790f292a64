import type { Adapter } from "@lamina/protocol"

import { fedit } from "./fedit.js"
import { flora } from "./flora.js"
import type { Aggregate, Strategy, StrategyName } from "./strategy.js"

/** Every strategy by its name in a recipe. */
export const STRATEGIES: Readonly<Record<StrategyName, Strategy>> = { flora, fedit }

/** An adapter somebody names, with its weight (0 or more; p_k = weight / sum). */
export interface NamedAdapter {
  readonly name: string
  readonly weight: number
  readonly adapter: Adapter
}

/**
 * What `lamina aggregate` does: one strategy over named adapters, summed in the order given. Throws what the strategy
 * throws.
 */
export function aggregateAdapters(strategy: StrategyName, adapters: readonly NamedAdapter[]): Aggregate {
  const updates = adapters.map(({ name, weight, adapter }) => ({ clientId: name, weight, adapter }))
  return STRATEGIES[strategy].aggregate({ updates, order: adapters.map(({ name }) => name) })
}
