import type { AdapterRow, ContributionRow, RoundRow } from "../store/schema.js"
import type { AggregateJob, Aggregation, AggregationReport } from "../worker/jobs.js"
import type { NamedUpdate } from "./aggregate-job.js"
import type { CoordinatorContext } from "./context.js"
import { lastReport } from "./round-report.js"

/** An aggregation whose bytes are durable, with the rows that name them. */
export interface StoredAggregation {
  readonly adapter: AdapterRow
  readonly report: AggregationReport
  readonly contributions: readonly ContributionRow[]
}

/**
 * Makes the bytes of an aggregation durable; the rows are written with the round's end. What earlier rounds pruned
 * stays in the report. Throws STORAGE_FULL.
 */
export async function storeAggregation(
  { blobs, store }: CoordinatorContext,
  { row, job, made }: { row: RoundRow; job: AggregateJob & { updates: readonly NamedUpdate[] }; made: Aggregation },
): Promise<StoredAggregation> {
  const { run_id, round } = row
  const hash = await blobs.put(made.adapter)
  const stateHash = made.state && (await blobs.put(made.state))
  const before = await lastReport(store, run_id)
  const prunedRanks = { ...before?.prunedRanks, ...made.report.prunedRanks }
  return {
    adapter: { run_id, round, hash, bytes: made.adapter.length },
    report: { ...made.report, prunedRanks, ...(stateHash === undefined ? {} : { stateHash }) },
    contributions: made.kept.map((adapterHash, position) => {
      const {
        clientId: client_id,
        clientName: client_name,
        trainedRound: trained_round,
        weight,
      } = job.updates[position]!
      return { run_id, round, position, client_id, client_name, trained_round, weight, hash: adapterHash }
    }),
  }
}
