import { addFactors, CLIENTS_AT_ONCE, takeFactors } from "@lamina/kernels/linalg"
import type { ClientFactors, FactorTerm, TakenFactors } from "@lamina/kernels/linalg"
import { compareNames, scaleOf } from "@lamina/protocol"
import type { AdapterModule } from "@lamina/protocol"

import { requireFinite } from "./cohort.js"
import type { Contribution } from "./cohort.js"
import { ExactSum } from "./exact-sum.js"
import type { ModuleAggregate } from "./fresh.js"
import { newScratches } from "./module-factors.js"
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
  readonly #scratches = newScratches()

  constructor({ clients, memory = new RoundMemory(0) }: RoundInput) {
    const weighed = clients.filter(({ weight }) => weight > 0)
    this.#clients = clients.length
    this.#rankMax = weighed.reduce<number | undefined>(
      (sum, { rankMax }) => (sum === undefined || rankMax === undefined ? undefined : sum + rankMax),
      0,
    )
    this.#memory = memory
  }

  /** How many clients' modules like these go to their places together. */
  takesAtOnce(modules: readonly AdapterModule[]): number {
    return modules.some((module) => this.#staysStack(module)) ? CLIENTS_AT_ONCE : 1
  }

  /** Copies the values of takesAtOnce or less; nothing where it throws. Throws UPDATE_NOT_FINITE. */
  take(contributions: readonly Contribution[]): void {
    const parts = new Map<string, Part>()
    for (const { clientId, share, modules, finite } of contributions)
      for (const module of modules) {
        const part = parts.get(module.name) ?? { stack: this.#stackOf(module), sent: [] }
        parts.set(module.name, part)
        part.sent.push({ clientId, share, module, finite })
      }
    const placed = [...parts.values()].flatMap(placeOf)
    if (takeFactors(placed.map(({ factors }) => factors)) !== -1) requireAllFinite(contributions)
    for (const { stack, factors } of placed) stack.commit(factors.clients.reduce((sum, { rank }) => sum + rank, 0))
    for (const [name, { stack }] of parts) this.#modules.set(name, stack)
    // a sum once at a time
    for (let k = 0; k < contributions.length; k++) addFactors([...parts.values()].flatMap((part) => termsOf(part, k)))
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
    return this.#staysStack(module)
      ? new TakenStack({ ...module, rank: this.#rankMax! }, this.#memory)
      : new ExactSum(module, { clients: this.#clients, scratches: this.#scratches })
  }

  #staysStack({ outFeatures, inFeatures }: AdapterModule): boolean {
    const rank = this.#rankMax
    return rank !== undefined && rank <= Math.min(outFeatures, inFeatures) && inFeatures >= PROBED_COLUMNS
  }
}

/** What some clients sent of one module. */
interface Part {
  readonly stack: TakenStack | ExactSum
  readonly sent: (Omit<Contribution, "modules"> & { readonly module: AdapterModule })[]
}

/** What client k of a module in an ExactSum adds, where it is not waiting there. */
function termsOf({ stack, sent }: Part, k: number): FactorTerm[] {
  const added = sent[k]
  return added && stack instanceof ExactSum ? stack.addOrTerm(added.module, added.share) : []
}

/** Where it goes, unless it is nothing, or waits in an ExactSum; what waits is checked at once. */
function placeOf({ stack, sent }: Part): { stack: TakenStack; factors: TakenFactors }[] {
  if (stack instanceof ExactSum) {
    for (const { clientId, module, finite } of sent) if (!finite) requireFinite(clientId, module)
    return []
  }
  const clients = sent.flatMap(({ module, share }): ClientFactors[] => {
    const { rank, a, b } = module
    return isZero(module) ? [] : [{ rank, scale: share * scaleOf(module), a, b }]
  })
  return clients.length > 0 ? [{ stack, factors: stack.place(clients) }] : []
}

/** Names the first client's value that is not. */
function requireAllFinite(contributions: readonly Contribution[]): void {
  for (const { clientId, modules } of contributions) for (const module of modules) requireFinite(clientId, module)
}
