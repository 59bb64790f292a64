import { LaminaError } from "@lamina/protocol"
import type { Adapter, StrategyName } from "@lamina/protocol"

import { fedit } from "./fedit.js"
import { flora } from "./flora.js"
import type { Aggregate, CohortStrategy } from "./cohort-strategy.js"

const BUILT: Partial<Record<StrategyName, CohortStrategy>> = { flora, fedit }

/** Throws STRATEGY_UNSUITABLE for one that is not built. */
export function cohortStrategy(name: StrategyName): CohortStrategy {
  const found = BUILT[name]
  if (!found)
    throw new LaminaError("STRATEGY_UNSUITABLE", `expected one of ${Object.keys(BUILT).join(", ")}, got ${name}`)
  return found
}

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
  return cohortStrategy(strategy).aggregate({ updates, order: adapters.map(({ name }) => name) })
}
