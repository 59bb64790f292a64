import { compareNames } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"

import { compress } from "./compress.js"
import { ExactSum } from "./exact-sum.js"
import type { Contribution } from "./cohort.js"
import { projectFrozen } from "./project-frozen.js"
import { stackOnto } from "./stack-onto.js"
import type { ClientLimits, ClientTerms, ModuleError, Projection, RoundInput, RoundResult } from "./strategy.js"

/**
 * What strategies share whose clients train new A and B (B = 0) beside the frozen global adapter: a round's aggregate
 * is stacked onto it.
 */

/** Every client trains what it affords, from a start of its own. */
export function ownTerms(cohort: readonly ClientLimits[]): ClientTerms[] {
  return cohort.map((client) => ({ ...client, rank: client.rankMax, initSeed: "own", freezeA: false }))
}

/** The global adapter, all of it frozen; cut to the budget where there is one. Never refuses. */
export function projectFresh(global: Adapter, _terms: ClientTerms, budget: { readonly bytesMax: number }): Projection {
  return projectFrozen(global, () => 0, budget)
}

/** dW* of every module of a round. */
export class ExactSums {
  readonly #sums = new Map<string, ExactSum>()

  take({ modules, share }: Contribution): void {
    for (const module of modules) {
      const sum = this.#sums.get(module.name) ?? new ExactSum(module)
      this.#sums.set(module.name, sum)
      sum.add(module, share)
    }
  }

  /** The sums in the order of module names, each given away once so that its memory can go. */
  *drain(): Generator<[string, ExactSum]> {
    for (const name of [...this.#sums.keys()].sort(compareNames)) {
      const sum = this.#sums.get(name)!
      this.#sums.delete(name)
      yield [name, sum]
    }
  }
}

/** What a round made of one module; no `module` where nothing is to be stacked. */
export interface ModuleAggregate {
  readonly name: string
  readonly module: AdapterModule | undefined
  readonly relativeError: number
}

/**
 * The new global adapter: each module's aggregate stacked onto what was there, compressed as the recipe says, one
 * module after another. Modules nobody trained are compressed too, which changes nothing a second time.
 */
export function grow(
  { global, settings }: RoundInput,
  aggregates: Iterable<ModuleAggregate>,
): Omit<RoundResult, "coverage"> {
  const before = new Map((global?.modules ?? []).map((module) => [module.name, module]))
  const errors: ModuleError[] = []
  const modules: AdapterModule[] = []
  const compressionErrors: ModuleError[] = []
  let stackedRank = 0
  const stackOne = (name: string, round: AdapterModule | undefined): void => {
    const old = before.get(name)
    before.delete(name)
    const stacked = stackOnto(old && { modules: [old] }, { modules: round ? [round] : [] })
    const compressed = compress(stacked, settings.compress)
    modules.push(...compressed.adapter.modules)
    compressionErrors.push(...compressed.errors)
    stackedRank = Math.max(stackedRank, largestRank(stacked.modules))
  }
  for (const { name, module, relativeError } of aggregates) {
    errors.push({ module: name, relativeError })
    stackOne(name, module)
  }
  for (const name of [...before.keys()]) stackOne(name, undefined)
  return {
    global: { modules: modules.sort((left, right) => compareNames(left.name, right.name)) },
    state: undefined,
    errors,
    compressionErrors: compressionErrors.sort((left, right) => compareNames(left.module, right.module)),
    ...{ stackedRank, rank: largestRank(modules), prunedRanks: new Map() },
  }
}

/** 0 for no modules. */
export function largestRank(modules: readonly AdapterModule[]): number {
  return modules.reduce((largest, { rank }) => Math.max(largest, rank), 0)
}
