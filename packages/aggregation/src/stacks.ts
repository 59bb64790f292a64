import { Scratch, takeFactors } from "@lamina/kernels/linalg"
import { compareNames, scaleOf } from "@lamina/protocol"
import type { AdapterModule } from "@lamina/protocol"

import { requireFinite } from "./cohort.js"
import type { Contribution } from "./cohort.js"
import { ExactSum } from "./exact-sum.js"
import type { ModuleAggregate } from "./fresh.js"
import { RoundMemory } from "./round-memory.js"
import type { RoundInput } from "./strategy.js"
import { isZero, PROBED_COLUMNS, TakenStack } from "./taken-stack.js"

/**
 * Every module's exact stack, sum p_k s_k B_k A_k. Where all ranks that can come stay a stack, factors go to their
 * places as they arrive; where they may not, or nobody knows, they wait in an ExactSum as they were sent. The bits are
 * the same.
 */
export class Stacks {
  readonly #modules = new Map<string, TakenStack | ExactSum>()
  readonly #clients: number
  /** Undefined where somebody's is not known. */
  readonly #rankMax: number | undefined
  readonly #memory: RoundMemory
  /** Of ExactSums, whose factors wait in memory of their own. */
  readonly #spare = new RoundMemory(0)
  readonly #scratches = { a: new Scratch(), b: new Scratch() }

  constructor({ clients, memory = new RoundMemory(0) }: RoundInput) {
    const weighed = clients.filter(({ weight }) => weight > 0)
    this.#clients = clients.length
    this.#rankMax = weighed.reduce<number | undefined>(
      (sum, { rankMax }) => (sum === undefined || rankMax === undefined ? undefined : sum + rankMax),
      0,
    )
    this.#memory = memory
  }

  /** Copies the values; nothing where it throws. Throws UPDATE_NOT_FINITE. */
  take({ clientId, share, modules }: Contribution): void {
    const parts = modules.map((module) => ({ module, stack: this.#stackOf(module) }))
    const placed = parts.flatMap(({ module, stack }) =>
      stack instanceof TakenStack ? [{ module, factors: stack.place(module, share * scaleOf(module)) }] : [],
    )
    for (const { module, stack } of parts) if (stack instanceof ExactSum) requireFinite(clientId, module)
    const wrong = placed[takeFactors(placed.map(({ factors }) => factors))]
    if (wrong) requireFinite(clientId, wrong.module)
    for (const { module, stack } of parts) {
      this.#modules.set(module.name, stack)
      if (stack instanceof ExactSum) stack.add(module, share)
      else if (!isZero(module)) stack.commit(module.rank)
    }
  }

  /** In the order of module names, each given away once so that its memory can go. */
  *drain(): Generator<ModuleAggregate> {
    for (const name of [...this.#modules.keys()].sort(compareNames)) {
      const stack = this.#modules.get(name)!
      this.#modules.delete(name)
      const made = stack instanceof ExactSum ? stack.takeStack(this.#spare) : stack.finish()
      yield { name, module: made?.module, relativeError: made?.relativeError ?? 0 }
    }
  }

  /** What there is of the module, or something empty. */
  #stackOf(module: AdapterModule): TakenStack | ExactSum {
    const known = this.#modules.get(module.name)
    if (known) return known
    const { outFeatures, inFeatures } = module
    const rank = this.#rankMax
    const staysStack = rank !== undefined && rank <= Math.min(outFeatures, inFeatures) && inFeatures >= PROBED_COLUMNS
    return staysStack
      ? new TakenStack({ ...module, rank }, this.#memory)
      : new ExactSum(module, { clients: this.#clients, scratches: this.#scratches })
  }
}
