import type { Store } from "../store/store.js"
import type { AggregationReport } from "../worker/jobs.js"

/** What the newest published round of a run reported; undefined before the first. */
export async function lastReport(store: Store, runId: string): Promise<AggregationReport | undefined> {
  const published = (await store.rounds(runId)).findLast(({ report }) => report !== null)
  return published?.report ? (JSON.parse(published.report) as AggregationReport) : undefined
}
