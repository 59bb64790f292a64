import type { Round, RoundEvent, Selecting } from "../round/round.js"
import { replay } from "../round/step.js"
import type { Store } from "../store/store.js"

/** What a log is folded from; its first event, `configured`, fixes everything. */
const UNCONFIGURED: Selecting = { phase: "selecting", target: 1, minimum: 1, patienceMs: 0 }

interface RoundName {
  readonly run_id: string
  readonly round: number
}

/** The log of a round, as the rules replay it. */
async function roundLog(store: Store, { run_id, round }: RoundName): Promise<{ event: RoundEvent; atMs: number }[]> {
  const rows = await store.events(run_id, round)
  return rows.map((row) => ({ event: JSON.parse(row.event) as RoundEvent, atMs: row.at_ms }))
}

/** A round as its log says it is. */
export async function restoreRound(store: Store, name: RoundName): Promise<Round> {
  return replay(UNCONFIGURED, await roundLog(store, name))
}
