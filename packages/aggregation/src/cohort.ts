import { firstBeyond } from "@lamina/kernels/linalg"
import { compareNames, LaminaError } from "@lamina/protocol"
import type { AdapterModule, Update } from "@lamina/protocol"

import type { Accumulator, ModuleCoverage, RoundClient, RoundInput, RoundResult } from "./strategy.js"

/** What one client brings to a round, checked; its values too, unless the rule checks them. */
export interface Contribution {
  readonly clientId: string
  /** p_k = weight / sum over the whole cohort, above 0, whichever modules the client trains. */
  readonly share: number
  readonly modules: readonly AdapterModule[]
  /** Somebody checked the values before. */
  readonly finite: boolean
}

/** What a strategy does with the contributions of one round, in aggregation order. */
export interface Rule {
  /** `take` throws UPDATE_NOT_FINITE (requireFinite) itself, and has taken nothing then. */
  readonly checksValues?: boolean
  /** How many contributions like this one `take` may be given; 1 where it is not said. */
  takesAtOnce?(modules: readonly AdapterModule[]): number
  /** All or, where it throws, none. Keeps no reference to the values. Throws STRATEGY_UNSUITABLE. */
  take(contribution: Contribution, ...more: Contribution[]): void
  finish(): Omit<RoundResult, "coverage">
}

/**
 * Checks a cohort before its first update, then each update before `rule` sees it. Clients of weight 0, or next to it
 * beside the others', are awaited and passed over, whatever they send. Throws ROUND_EMPTY, UPLOAD_CONFLICT (a client
 * twice), UPDATE_WEIGHT; `add` and `finish` throw as the interface says.
 */
export function accumulatorOf(round: RoundInput, rule: Rule): Accumulator {
  return new Cohort(round, rule)
}

class Cohort implements Accumulator {
  readonly #clients: RoundInput["clients"]
  readonly #rule: Rule
  readonly #total: number
  readonly #coverage = new Map<string, ModuleCoverage>()
  readonly #shapes: Map<string, ModuleSize>
  #taken = 0

  constructor({ clients, global }: RoundInput, rule: Rule) {
    this.#clients = clients
    this.#rule = rule
    this.#total = totalWeight(clients)
    this.#shapes = new Map((global?.modules ?? []).map((module) => [module.name, sizeOf(module)]))
  }

  add(...updates: readonly Update[]): void {
    for (let from = 0; from < updates.length;) {
      const some = updates.slice(from, from + this.atOnce(updates[from]!))
      from += some.length
      try {
        this.#addTogether(some)
      } catch (error) {
        if (some.length === 1) throw error
        // so that those before the one at fault are added
        for (const update of some) this.#addTogether([update])
      }
    }
  }

  atOnce({ adapter }: Update): number {
    return this.#rule.takesAtOnce?.(adapter.modules) ?? 1
  }

  finish(): RoundResult {
    const missing = this.#clients[this.#taken]
    if (missing)
      throw new LaminaError(
        "UPLOAD_CONFLICT",
        `expected ${this.#clients.length} updates, got ${this.#taken}; the next is that of client ${missing.clientId}`,
      )
    const coverage = [...this.#coverage.values()].sort((left, right) => compareNames(left.module, right.module))
    const result = this.#rule.finish()
    requireFiniteResult(result)
    return { ...result, coverage }
  }

  /** All of them, or where it throws none. */
  #addTogether(updates: readonly Update[]): void {
    const newShapes = new Map<string, ModuleSize>()
    const contributions = updates.flatMap((update, i) => this.#check(update, this.#taken + i, newShapes))
    const [first, ...others] = contributions
    if (first) this.#rule.take(first, ...others)
    for (const [name, size] of newShapes) this.#shapes.set(name, size)
    this.#taken += updates.length
    for (const { share, modules } of contributions)
      for (const { name } of modules) {
        const { clients, share: before } = this.#coverage.get(name) ?? { clients: 0, share: 0 }
        this.#coverage.set(name, { module: name, clients: clients + 1, share: before + share })
      }
  }

  /** Nothing where it weighs nothing. `newShapes` gets those of modules that nobody had. */
  #check(update: Update, place: number, newShapes: Map<string, ModuleSize>): Contribution[] {
    const clients = this.#clients
    const client = clients[place]
    if (update.clientId !== client?.clientId)
      throw new LaminaError(
        "UPLOAD_CONFLICT",
        `expected ${client ? `the update of client ${client.clientId}` : "no more updates"} after ${place} of ` +
          `${clients.length}, got that of ${update.clientId}`,
      )
    const { clientId, weight } = client
    const share = weight / this.#total
    if (share === 0) return []
    const { modules } = update.adapter
    const sizeKnown = (name: string): ModuleSize | undefined => this.#shapes.get(name) ?? newShapes.get(name)
    checkModules(update, client, sizeKnown)
    const { finite = false } = update
    if (!finite && !this.#rule.checksValues) for (const module of modules) requireFinite(clientId, module)
    for (const module of modules) if (!sizeKnown(module.name)) newShapes.set(module.name, sizeOf(module))
    return [{ clientId, share, modules, finite }]
  }
}

/**
 * Finite updates may have scales or sums that pass what f32 holds. Looked at only where an error is not finite either,
 * as that of a zero is which was missed. Throws UPDATE_NOT_FINITE.
 */
function requireFiniteResult({ global, errors, compressionErrors }: Omit<RoundResult, "coverage">): void {
  const suspects = [...errors, ...compressionErrors].filter(({ relativeError }) => !Number.isFinite(relativeError))
  const names = new Set(suspects.map(({ module }) => module))
  for (const { name, a, b } of global.modules)
    for (const values of names.has(name) ? [a, b] : []) {
      const wrong = firstBeyond(values)
      if (wrong !== -1)
        throw new LaminaError(
          "UPDATE_NOT_FINITE",
          `module ${name}: expected a finite aggregate, got ${values[wrong]}`,
          {
            hint: "values or scales of the updates are too large for f32",
          },
        )
    }
}

function totalWeight(clients: RoundInput["clients"]): number {
  if (clients.length === 0) throw new LaminaError("ROUND_EMPTY", "expected at least one update, got none")
  const ids = new Set(clients.map(({ clientId }) => clientId))
  if (ids.size !== clients.length)
    throw new LaminaError(
      "UPLOAD_CONFLICT",
      `expected each client once, got ${clients.length} updates of ${ids.size} clients`,
    )
  for (const { clientId, weight } of clients)
    if (!(weight >= 0 && weight < Infinity))
      throw new LaminaError(
        "UPDATE_WEIGHT",
        `client ${clientId}: expected a finite weight of at least 0, got ${weight}`,
      )
  const total = clients.reduce((sum, { weight }) => sum + weight, 0)
  if (!(total > 0 && total < Infinity))
    throw new LaminaError("UPDATE_WEIGHT", `expected weights with a finite sum above 0, got ${total}`)
  return total
}

interface ModuleSize {
  readonly outFeatures: number
  readonly inFeatures: number
}

/** The sizes alone, so that no update's values are kept alive. */
function sizeOf({ outFeatures, inFeatures }: AdapterModule): ModuleSize {
  return { outFeatures, inFeatures }
}

function checkModules(
  { clientId, adapter }: Update,
  { rankMax = Infinity }: RoundClient,
  sizeKnown: (name: string) => ModuleSize | undefined,
): void {
  const names = new Set<string>()
  for (const module of adapter.modules) {
    if (names.has(module.name))
      throw new LaminaError("UPDATE_MODULE", `client ${clientId}: module ${module.name} twice`)
    names.add(module.name)
    checkModule(module, sizeKnown(module.name), whereOf(clientId, module))
    if (module.rank > rankMax)
      throw new LaminaError(
        "UPDATE_RANK",
        `${whereOf(clientId, module)}: expected at most the ${rankMax} ranks announced, got ${module.rank}`,
      )
  }
}

function checkModule(module: AdapterModule, known: ModuleSize | undefined, what: string): void {
  const { outFeatures, inFeatures, rank, a, b } = module
  const expected = known ?? module
  const refuse = (want: string, got: string): never => {
    throw new LaminaError("UPDATE_SHAPE", `${what}: expected ${want}, got ${got}`)
  }
  if (outFeatures !== expected.outFeatures || inFeatures !== expected.inFeatures)
    refuse(`${expected.outFeatures} x ${expected.inFeatures} as others have`, `${outFeatures} x ${inFeatures}`)
  if (!Number.isInteger(rank) || rank < 1 || a.length !== rank * inFeatures || b.length !== outFeatures * rank)
    refuse(`A (${rank}, ${inFeatures}) and B (${outFeatures}, ${rank})`, `${a.length} and ${b.length} values`)
}

/** Throws UPDATE_NOT_FINITE where a client's module has a value that is infinite or NaN. */
export function requireFinite(clientId: string, module: AdapterModule): void {
  for (const values of [module.a, module.b]) {
    const wrong = firstBeyond(values)
    if (wrong !== -1)
      throw new LaminaError(
        "UPDATE_NOT_FINITE",
        `${whereOf(clientId, module)}: expected finite values, got ${values[wrong]}`,
      )
  }
}

function whereOf(clientId: string, { name }: AdapterModule): string {
  return `client ${clientId}: module ${name}`
}
