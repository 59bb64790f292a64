import { compareNames } from "@lamina/protocol"
import type { Adapter, Update } from "@lamina/protocol"

import type { RoundResult, Strategy, StrategySettings } from "../strategy.js"

/** What recipes say by default. */
export const SETTINGS: StrategySettings = {
  ...{ alphaPerRank: 2, scaling: "lora", compress: { tau: 0 }, tau: 0.1, pruneTo: 1, combine: "stack" },
  serverOptimizer: { name: "none", learningRate: 1, beta1: 0.9, beta2: 0.99, tau: 1e-3 },
}

/** A round; what is left out is as in a first round, the order that of client ids by code units. */
interface TestRound {
  readonly updates: readonly Update[]
  readonly order?: readonly string[]
  readonly global?: Adapter | undefined
  readonly state?: Adapter | undefined
  readonly settings?: Partial<StrategySettings>
}

/** Sorts what arrived into the order of aggregation, as a coordinator does, and adds it update by update. */
export function runRound(strategy: Strategy, round: TestRound): RoundResult {
  const { updates, global, state, settings } = round
  const byId = new Map(updates.map((update) => [update.clientId, update]))
  const ids = round.order ?? updates.map(({ clientId }) => clientId).sort(compareNames)
  const unlisted = updates.filter(({ clientId }) => !ids.includes(clientId))
  const sorted = [...ids.flatMap((id) => byId.get(id) ?? []), ...unlisted]
  const accumulator = strategy.accumulate({
    ...{ settings: { ...SETTINGS, ...settings }, global, state },
    clients: ids.map((clientId) => ({ clientId, weight: byId.get(clientId)?.weight ?? 1 })),
  })
  for (const update of sorted) accumulator.add(update)
  return accumulator.finish()
}
