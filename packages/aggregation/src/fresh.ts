import { compareNames } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"

import { addFactors } from "@lamina/kernels/linalg"
import { compress } from "./compress.js"
import { ExactSum } from "./exact-sum.js"
import type { Contribution } from "./cohort.js"
import { newScratches } from "./module-factors.js"
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
  readonly #clients: number
  readonly #scratches = newScratches()

  constructor({ clients }: RoundInput) {
    this.#clients = clients.length
  }

  take({ modules, share }: Contribution): void {
    const terms = modules.flatMap((module) => {
      const [clients, scratches] = [this.#clients, this.#scratches]
      const sum = this.#sums.get(module.name) ?? new ExactSum(module, { clients, scratches })
      this.#sums.set(module.name, sum)
      return sum.addOrTerm(module, share)
    })
    addFactors(terms)
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
 * The new global adapter: each module's aggregate stacked onto what was there and compressed as the recipe says, one
 * module after another. Modules for which nothing came stay as they are.
 */
export function grow(
  { global, settings }: RoundInput,
  aggregates: Iterable<ModuleAggregate>,
): Omit<RoundResult, "coverage"> {
  const modules = new Map((global?.modules ?? []).map((module) => [module.name, module]))
  const errors: ModuleError[] = []
  const compressionErrors: ModuleError[] = []
  let stackedRank = largestRank([...modules.values()])
  for (const { name, module, relativeError } of aggregates) {
    errors.push({ module: name, relativeError })
    if (!module) continue
    const before = modules.get(name)
    const stacked = stackOnto(before && { modules: [before] }, { modules: [module] })
    const compressed = compress(stacked, settings.compress)
    modules.set(name, compressed.adapter.modules[0]!)
    compressionErrors.push(...compressed.errors)
    stackedRank = Math.max(stackedRank, largestRank(stacked.modules))
  }
  const sorted = [...modules.values()].sort((left, right) => compareNames(left.name, right.name))
  return {
    ...{ global: { modules: sorted }, state: undefined, errors, compressionErrors },
    ...{ stackedRank, rank: largestRank(sorted), prunedRanks: new Map() },
  }
}

/** 0 for no modules. */
export function largestRank(modules: readonly AdapterModule[]): number {
  return modules.reduce((largest, { rank }) => Math.max(largest, rank), 0)
}
