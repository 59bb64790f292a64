import { adapterDistance, replay, STRATEGIES, withoutClient } from "@lamina/aggregation"
import type { StoredRound } from "@lamina/aggregation"
import { hash, toHex } from "@lamina/crypto"
import { encodeAdapter } from "@lamina/protocol"
import type { Adapter, Update } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"
import type { RecordedRound, RunRecord } from "@lamina/server"

/** One round of the proof; hashes are those of the global adapter after it. */
export interface ProvenRound {
  readonly round: number
  readonly updates: number
  /** Of them the client's: 0 or 1. */
  readonly ofClient: number
  readonly recordedHash: string
  readonly recomputedHash: string
  /** Without the client; undefined where nothing is left. */
  readonly withoutHash: string | undefined
}

/** A run's global adapter without one client. */
export interface Removal {
  readonly rounds: readonly ProvenRound[]
  /** Undefined where nobody else contributed. */
  readonly adapter: Adapter | undefined
  /** ||without - with||_F / ||with||_F over all modules. */
  readonly relativeDistance: number
}

/**
 * Aggregates a run's rounds from the kept updates twice: whole, where every round must come to the hash that was
 * recorded then, and without the client. What is exact and what cannot be undone: packages/aggregation/src/replay.ts.
 * Removal as in AdapterSwap (arXiv:2404.08417). Throws STRATEGY_UNSUITABLE for strategies whose clients train on the
 * global adapter itself, NOT_FOUND where no updates were kept or no round was published, BLOB_CORRUPT, naming the
 * round, where the kept updates are not those that were aggregated.
 */
export async function removeClient(record: RunRecord, clientId: string): Promise<Removal> {
  const strategy = STRATEGIES[record.strategy]
  const leaver = record.clients.find(({ id }) => id === clientId) ?? { id: clientId }
  const remaining = withoutClient(storedRounds(record), leaver, record.settings, strategy)
  checkKept(record)
  const recomputed: string[] = []
  let whole: Adapter = { modules: [] }
  for await (const { global } of replay(storedRounds(record), record.settings, strategy)) {
    recomputed.push(checkedHash(record.rounds[recomputed.length]!, global))
    whole = global
  }
  const rest: (string | undefined)[] = []
  let adapter: Adapter | undefined
  for await (adapter of remaining) rest.push(adapter && hashOf(adapter))
  const rounds = record.rounds.map(({ round, updates, adapterHash }, i): ProvenRound => {
    const ofClient = updates.filter((update) => update.clientId === clientId).length
    const hashes = { recordedHash: adapterHash, recomputedHash: recomputed[i]!, withoutHash: rest[i] }
    return { round, updates: updates.length, ofClient, ...hashes }
  })
  // the same bytes are no distance; computed it would be one of rounding, some 1e-16
  const isSame = rest.at(-1) === recomputed.at(-1)
  return { rounds, adapter, relativeDistance: isSame ? 0 : adapterDistance(adapter ?? { modules: [] }, whole) }
}

function checkKept({ id, keepsUpdates, rounds }: RunRecord): void {
  if (!keepsUpdates)
    throw new LaminaError("NOT_FOUND", `expected kept updates of run ${id}, got a recipe that keeps none`, {
      hint: "say globalAdapter.keepUpdates: true in the recipe of a new run",
    })
  if (rounds.length === 0) throw new LaminaError("NOT_FOUND", `run ${id} has published no round yet`)
  const empty = rounds.find(({ updates }) => updates.length === 0)
  if (empty)
    throw new LaminaError("BLOB_CORRUPT", `round ${empty.round}: expected the updates it was aggregated from, got none`)
}

/** One update of it after another in memory, read when its turn comes. */
function* storedRounds(record: RunRecord): Generator<StoredRound> {
  for (const round of record.rounds) yield { clients: round.updates, updates: updatesOf(record, round) }
}

async function* updatesOf(record: RunRecord, { round, updates }: RecordedRound): AsyncGenerator<Update> {
  for (const update of updates) {
    const { clientId, weight } = update
    yield { clientId, weight, adapter: await record.readUpdate(round, update) }
  }
}

function checkedHash({ round, adapterHash }: RecordedRound, global: Adapter): string {
  const recomputed = hashOf(global)
  if (recomputed !== adapterHash)
    throw new LaminaError(
      "BLOB_CORRUPT",
      `round ${round}: expected its kept updates to give the recorded global adapter ${adapterHash}, got ${recomputed}`,
      { hint: "restore the data folder from a backup, or use the version of Lamina that aggregated the run" },
    )
  return recomputed
}

function hashOf(adapter: Adapter): string {
  return toHex(hash(encodeAdapter(adapter)))
}
