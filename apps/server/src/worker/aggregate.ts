import { cohortStrategy, compress, stackOnto } from "@lamina/aggregation"
import type { ModuleError } from "@lamina/aggregation"
import { decodeAdapter, encodeAdapter } from "@lamina/protocol"
import type { Adapter, Update } from "@lamina/protocol"

import type { AggregateJob, Aggregation } from "./jobs.js"
import { takeUpdate } from "./open-update.js"

/**
 * The new global adapter: the strategy's aggregate of the sealed updates, stacked onto the adapter so far, compressed
 * as the recipe says. Sums run in the order of `updates`, so the same sealed set gives the same bytes.
 */
export async function aggregate(job: AggregateJob): Promise<Aggregation> {
  const { strategy, tau, maxRank } = job
  const updates = await openAll(job)
  const made = cohortStrategy(strategy).aggregate({ updates, order: updates.map(({ clientId }) => clientId) })
  const before = job.globalAdapter === undefined ? undefined : decodeAdapter(job.globalAdapter)
  const stacked = stackOnto(before, made.adapter)
  const compressed = compress(stacked, { tau, ...(maxRank === undefined ? {} : { maxRank }) })
  return {
    adapter: encodeAdapter(compressed.adapter),
    report: {
      updates: updates.length,
      weight: updates.reduce((sum, { weight }) => sum + weight, 0),
      stackedRank: largestRank(stacked),
      rank: largestRank(compressed.adapter),
      strategyError: largestError(made.errors),
      compressionError: largestError(compressed.errors),
    },
  }
}

async function openAll({ updates, secret, weightBy }: AggregateJob): Promise<Update[]> {
  const opened: Update[] = []
  for (const update of updates) {
    const { weight, adapter } = takeUpdate(update, secret)
    opened.push({ clientId: update.clientId, weight: weightBy === "equal" ? 1 : weight, adapter })
  }
  return opened
}

function largestRank({ modules }: Adapter): number {
  return modules.reduce((largest, { rank }) => Math.max(largest, rank), 0)
}

/** Infinite where an exact sum of zero was missed; JSON has no infinity, so the largest number stands for it. */
function largestError(errors: readonly ModuleError[]): number {
  return errors.reduce((largest, { relativeError }) => Math.max(largest, Math.min(relativeError, Number.MAX_VALUE)), 0)
}
