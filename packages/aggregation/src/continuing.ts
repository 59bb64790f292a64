import { compareNames, encodeAdapter, LaminaError } from "@lamina/protocol"
import type { Adapter, AdapterModule, StrategyName } from "@lamina/protocol"

import type { AveragedModule, Averages } from "./averages.js"
import { largestRank } from "./fresh.js"
import { normOf, rankSlice } from "./module-factors.js"
import { relativeTo } from "./strategy.js"
import type {
  ClientLimits,
  ClientTerms,
  ModuleError,
  Projection,
  RoundInput,
  RoundResult,
  Strategy,
} from "./strategy.js"

/**
 * What strategies share whose clients go on training the global adapter: a client starts from its leading rows, and the
 * round's result replaces it.
 */

/** Every client trains what it affords, from one start. */
export function sharedTerms(cohort: readonly ClientLimits[]): ClientTerms[] {
  return cohort.map((client) => ({ ...client, rank: client.rankMax, initSeed: "shared", freezeA: false }))
}

/** The lowest rank of the cohort for all, from one start. */
export function equalTerms(cohort: readonly ClientLimits[]): ClientTerms[] {
  const rank = Math.min(...cohort.map(({ rankMax }) => rankMax))
  return cohort.map((client) => ({ ...client, rank, initSeed: "shared", freezeA: false }))
}

/**
 * The first min(rank, R) rows of every module at the module's scale, all of them to be trained on. `bytesMax` below
 * that: STRATEGY_UNSUITABLE with both numbers.
 */
export function projectPrefix(name: StrategyName): Strategy["project"] {
  return (global, { clientId, rank }, { bytesMax }): Projection => {
    const modules = global.modules.map((module) => rankSlice(module, { from: 0, to: Math.min(rank, module.rank) }))
    if (bytesMax > 0) {
      const bytes = encodeAdapter({ modules }).byteLength
      if (bytes > bytesMax) throw budgetTooSmall(name, { clientId, bytes, bytesMax })
    }
    return {
      adapter: { modules },
      startRanks: new Map(modules.map((module) => [module.name, module.rank])),
      relativeError: cutError(global.modules, rank),
    }
  }
}

export function budgetTooSmall(
  name: StrategyName,
  { clientId, bytes, bytesMax }: { clientId: string; bytes: number; bytesMax: number },
): LaminaError {
  return new LaminaError(
    "STRATEGY_UNSUITABLE",
    `${name}: client ${clientId}: expected a download budget of at least ${bytes} bytes, what it is to train on, ` +
      `got ${bytesMax}`,
    { hint: `lower the client's rank, or choose strategy "flora", whose clients can do with a truncated adapter` },
  )
}

/** ||rows beyond the prefix||_F / ||all||_F over all modules. */
function cutError(modules: readonly AdapterModule[], rank: number): number {
  if (largestRank(modules) <= rank) return 0
  let [size, distance] = [0, 0]
  for (const module of modules) {
    size += normOf(module) ** 2
    if (module.rank > rank) distance += normOf(rankSlice(module, { from: rank, to: module.rank })) ** 2
  }
  return relativeTo(Math.sqrt(size), Math.sqrt(distance))
}

/** The result of a round whose averages are the new global adapter; modules nobody trained stay. */
export function averagedResult(
  round: RoundInput,
  averages: Averages,
  averaged: Iterable<AveragedModule>,
): Omit<RoundResult, "coverage"> {
  const modules: AdapterModule[] = []
  const errors: ModuleError[] = []
  for (const { name, stepped, exact } of averaged) {
    modules.push(stepped)
    errors.push({ module: name, relativeError: exact.errorOf(stepped) })
  }
  const global = withUntrained(round.global, modules)
  const rank = largestRank(global.modules)
  return {
    ...{ global, state: averages.state(), errors, compressionErrors: [] },
    ...{ stackedRank: rank, rank, prunedRanks: new Map() },
  }
}

/** The new modules, and those of the global adapter that none of them replaces, sorted by name. */
export function withUntrained(global: Adapter | undefined, modules: readonly AdapterModule[]): Adapter {
  const names = new Set(modules.map(({ name }) => name))
  const kept = (global?.modules ?? []).filter(({ name }) => !names.has(name))
  return { modules: [...modules, ...kept].sort((left, right) => compareNames(left.name, right.name)) }
}
