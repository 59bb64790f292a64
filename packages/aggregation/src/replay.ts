import { LaminaError } from "@lamina/protocol"
import type { Adapter, AdapterModule, StrategyName, Update } from "@lamina/protocol"

import type { RoundInput, RoundResult, Strategy, StrategySettings } from "./strategy.js"

/** A round as it was aggregated: who took part, in aggregation order, and their updates in the same order. */
export interface StoredRound {
  readonly clients: RoundInput["clients"]
  readonly updates: Iterable<Update> | AsyncIterable<Update>
}

/** Who is taken out; `name` is how failures call it, its id where it is not said. */
interface Leaver {
  readonly id: string
  readonly name?: string
}

type Rounds = Iterable<StoredRound> | AsyncIterable<StoredRound>

/**
 * Aggregates stored rounds again, from the first: the result of each, the same bytes as then, so that hashes recorded
 * then prove that nothing of the rounds was changed. Throws what the strategy throws.
 */
export async function* replay(
  rounds: Rounds,
  settings: StrategySettings,
  strategy: Strategy,
): AsyncGenerator<RoundResult> {
  let before: RoundResult | undefined
  for await (const { clients, updates } of rounds) {
    const { global, state } = before ?? {}
    const accumulator = strategy.accumulate({ settings, global, state, clients })
    for await (const update of updates) accumulator.add(update)
    before = accumulator.finish()
    yield before
  }
}

/** Strategies whose global adapter is a sum with one term per client and round. */
const SUMS: readonly StrategyName[] = ["flora", "florist", "fedpipe"]

/**
 * The global adapters of stored rounds, round by round, without one client's contributions, to the byte what they were
 * if they had never been stacked; undefined where nothing is left. The shares p_k of the others (with `fedpipe` those
 * among a module's contributors) stay what they were: the client's terms are taken out of each sum, and nothing is
 * weighed anew. What is not undone: the others trained beside a global adapter that held those terms. The client's own
 * updates may be missing from `updates`, except with `fedpipe`, where they say which modules it trained. Throws
 * STRATEGY_UNSUITABLE at once, before a round is read, for strategies that replace the global adapter; the rounds throw
 * what the strategy throws.
 */
export function withoutClient(
  rounds: Rounds,
  { id, name = id }: Leaver,
  settings: StrategySettings,
  strategy: Strategy,
): AsyncGenerator<Adapter | undefined> {
  if (!SUMS.includes(strategy.name))
    throw new LaminaError(
      "STRATEGY_UNSUITABLE",
      `expected one of ${SUMS.join(", ")}, whose global adapter is a sum over clients, got ${strategy.name}: ` +
        `its clients train on from what client ${name} gave, which cannot be taken out again`,
      { hint: "start the run again without the client" },
    )
  return remaining(replay(cleared(rounds, { id, name }, strategy.name), settings, strategy))
}

async function* remaining(results: AsyncGenerator<RoundResult>): AsyncGenerator<Adapter | undefined> {
  for await (const { global } of results) yield global.modules.length > 0 ? global : undefined
}

async function* cleared(rounds: Rounds, leaver: Required<Leaver>, strategy: StrategyName): AsyncGenerator<StoredRound> {
  for await (const { clients, updates } of rounds) {
    const at = clients.findIndex(({ clientId }) => clientId === leaver.id)
    yield { clients, updates: at < 0 ? updates : clearedUpdates(updates, { ...leaver, at, strategy }) }
  }
}

/** The updates with the one of this client, which is number `at`, zeroed, and an empty one where it is missing. */
async function* clearedUpdates(
  updates: StoredRound["updates"],
  { id: clientId, name, at, strategy }: Required<Leaver> & { at: number; strategy: StrategyName },
): AsyncGenerator<Update> {
  let count = 0
  const empty = (): Update => {
    if (strategy === "fedpipe")
      throw new LaminaError(
        "UPLOAD_CONFLICT",
        `expected the update of client ${name}, whose modules its shares are over, got none`,
      )
    return { clientId, weight: 0, adapter: { modules: [] } }
  }
  for await (const update of updates) {
    if (count === at && update.clientId !== clientId) {
      yield empty()
      count++
    }
    count++
    yield update.clientId === clientId ? zeroed(update) : update
  }
  if (count === at) yield empty()
}

/** The same modules with factors of rank 1 that are zero, which no sum stacks. */
function zeroed({ clientId, weight, adapter }: Update): Update {
  const modules = adapter.modules.map((module): AdapterModule => {
    const { name, outFeatures, inFeatures } = module
    return {
      ...{ name, outFeatures, inFeatures, rank: 1, alpha: 1, scaling: "lora" },
      ...{ a: new Float32Array(inFeatures), b: new Float32Array(outFeatures) },
    }
  })
  return { clientId, weight, adapter: { modules } }
}
