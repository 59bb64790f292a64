import { compareNames } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"

import { ExactSum } from "./exact-sum.js"
import { FactorSum } from "./factor-sum.js"
import type { Scaling } from "./factor-sum.js"
import type { Contribution } from "./cohort.js"
import { ServerSteps } from "./server-optimizer.js"
import type { RoundInput } from "./strategy.js"

/** One module after a round of averaging. */
export interface AveragedModule {
  readonly name: string
  /** The average, and what the server optimizer made of it: the same without one. */
  readonly average: AdapterModule
  readonly stepped: AdapterModule
  readonly exact: ExactSum
}

/** Weighted averages of the factors of a round, and the exact sums they are judged by. */
export class Averages {
  readonly #modules = new Map<string, { first: AdapterModule; sum: FactorSum; exact: ExactSum }>()
  readonly #before: ReadonlyMap<string, AdapterModule>
  readonly #steps: ServerSteps
  readonly #sharedA: boolean
  readonly #clients: number

  constructor({ global, state, settings, clients }: RoundInput, { sharedA = false } = {}) {
    this.#before = new Map((global?.modules ?? []).map((module) => [module.name, module]))
    this.#steps = new ServerSteps(settings.serverOptimizer, state)
    this.#sharedA = sharedA
    this.#clients = clients.length
  }

  /** The sum so far, where somebody trained the module. */
  sumOf(name: string): FactorSum | undefined {
    return this.#modules.get(name)?.sum
  }

  /** Adds the factors with this weight, and their product with the client's share. */
  take({ modules, share }: Contribution, weight: number): void {
    for (const module of modules) {
      const known = this.#modules.get(module.name)
      const { sum, exact } = known ?? {
        sum: new FactorSum(module, { sharedA: this.#sharedA }),
        exact: new ExactSum(module, { clients: this.#clients }),
      }
      // everything but the values, which are the client's
      const first = { ...module, a: new Float32Array(0), b: new Float32Array(0) }
      if (!known) this.#modules.set(module.name, { first, sum, exact })
      sum.add(module, weight)
      exact.add(module, share)
    }
  }

  /**
   * Module by module, in the order of names: sums over `divisor`, at the scaling that `target` gives for the largest
   * rank and the first client's module.
   */
  *drain(divisor: number, target: (rank: number, first: AdapterModule) => Scaling): Generator<AveragedModule> {
    for (const name of [...this.#modules.keys()].sort(compareNames)) {
      const { first, sum, exact } = this.#modules.get(name)!
      this.#modules.delete(name)
      const scaling = target(sum.rank, first)
      const average = sum.average(divisor, scaling)
      const before = this.#before.get(name)
      const start = before && sum.start(before, divisor, scaling)
      const step = { module: first, target: scaling, stepA: !this.#sharedA }
      const stepped = this.#steps.step(average, start, step)
      const module = sum.module(average, scaling)
      yield { name, average: module, stepped: stepped === average ? module : sum.module(stepped, scaling), exact }
    }
  }

  /** Moments of the server optimizer, once everything is drained. */
  state(): Adapter | undefined {
    return this.#steps.state()
  }
}

/** alpha in step with the rank, as the recipe says. */
export function perRank({ settings }: RoundInput): (rank: number) => Scaling {
  const { alphaPerRank, scaling } = settings
  return (rank) => ({ alpha: alphaPerRank * rank, scaling })
}
