import { compareNames, LaminaError } from "@lamina/protocol"
import type { AdapterModule, Update } from "@lamina/protocol"

/** One client's factors for one module, with its p_k. */
interface Contribution {
  readonly clientId: string
  /** p_k = weight / sum over the whole cohort, whether a client trains the module or not. */
  readonly share: number
  readonly module: AdapterModule
}

/** What every client of the cohort contributes to one module, in aggregation order. */
export interface ModuleCohort {
  readonly name: string
  readonly outFeatures: number
  readonly inFeatures: number
  /** Clients with a share above 0, whether they train this module or not. */
  readonly clients: readonly string[]
  readonly contributions: readonly Contribution[]
}

/** The updates of a round in the order sums run over them, and each one's p_k. */
export interface CohortInput {
  readonly updates: readonly Update[]
  /**
   * Client ids in the order of aggregation; without it, client ids sort by code units. Whatever the order of arrival,
   * the result is the same to the bit.
   */
  readonly order?: readonly string[]
}

/**
 * Checks a cohort and turns it inside out: per module (names sorted), who contributes what. Clients of weight 0 are
 * left out. Throws ROUND_EMPTY, UPLOAD_CONFLICT (a client twice, or missing in `order`), UPDATE_WEIGHT, UPDATE_MODULE,
 * UPDATE_SHAPE and UPDATE_NOT_FINITE.
 */
export function moduleCohorts(input: CohortInput): ModuleCohort[] {
  const updates = ordered(input)
  const total = updates.reduce((sum, { weight }) => sum + weight, 0)
  if (!(total > 0 && total < Infinity))
    throw new LaminaError("UPDATE_WEIGHT", `expected weights with a finite sum above 0, got ${total}`)
  const present = updates.filter(({ weight }) => weight > 0)
  const clients = present.map(({ clientId }) => clientId)
  const byModule = new Map<string, Contribution[]>()
  for (const { clientId, weight, adapter } of present)
    for (const module of adapter.modules) {
      const list = byModule.get(module.name) ?? []
      if (list.at(-1)?.clientId === clientId)
        throw new LaminaError("UPDATE_MODULE", `client ${clientId}: module ${module.name} twice`)
      checkModule(module, list[0]?.module, `client ${clientId}: module ${module.name}`)
      list.push({ clientId, share: weight / total, module })
      byModule.set(module.name, list)
    }
  return [...byModule.entries()]
    .sort(([left], [right]) => compareNames(left, right))
    .map(([name, contributions]) => {
      const { outFeatures, inFeatures } = contributions[0]!.module
      return { name, outFeatures, inFeatures, clients, contributions }
    })
}

function ordered({ updates, order }: CohortInput): Update[] {
  if (updates.length === 0) throw new LaminaError("ROUND_EMPTY", "expected at least one update, got none")
  const byId = new Map(updates.map((update) => [update.clientId, update]))
  if (byId.size !== updates.length)
    throw new LaminaError(
      "UPLOAD_CONFLICT",
      `expected each client once, got ${updates.length} updates of ${byId.size} clients`,
    )
  for (const { clientId, weight } of updates)
    if (!(weight >= 0 && weight < Infinity))
      throw new LaminaError(
        "UPDATE_WEIGHT",
        `client ${clientId}: expected a finite weight of at least 0, got ${weight}`,
      )
  const ids = order ?? [...byId.keys()].sort(compareNames)
  const sorted = ids.flatMap((id) => byId.get(id) ?? [])
  if (ids.length !== updates.length || new Set(sorted).size !== updates.length)
    throw new LaminaError(
      "UPLOAD_CONFLICT",
      `expected an order that names each of ${updates.length} clients once, got ${ids.length} names`,
    )
  return sorted
}

function checkModule(module: AdapterModule, first: AdapterModule | undefined, what: string): void {
  const { outFeatures, inFeatures, rank, a, b } = module
  const expected = first ?? module
  const refuse = (want: string, got: string): never => {
    throw new LaminaError("UPDATE_SHAPE", `${what}: expected ${want}, got ${got}`)
  }
  if (outFeatures !== expected.outFeatures || inFeatures !== expected.inFeatures)
    refuse(`${expected.outFeatures} x ${expected.inFeatures} as others have`, `${outFeatures} x ${inFeatures}`)
  if (!Number.isInteger(rank) || rank < 1 || a.length !== rank * inFeatures || b.length !== outFeatures * rank)
    refuse(`A (${rank}, ${inFeatures}) and B (${outFeatures}, ${rank})`, `${a.length} and ${b.length} values`)
  for (const values of [a, b])
    for (let i = 0; i < values.length; i++)
      if (!Number.isFinite(values[i]))
        throw new LaminaError("UPDATE_NOT_FINITE", `${what}: expected finite values, got ${values[i]}`)
}
