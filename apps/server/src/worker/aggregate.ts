import { STRATEGIES } from "@lamina/aggregation"
import type { ModuleError } from "@lamina/aggregation"
import { decodeAdapter, encodeAdapter } from "@lamina/protocol"
import type { Adapter } from "@lamina/protocol"

import type { AggregateJob, Aggregation } from "./jobs.js"
import { openUpdate } from "./open-update.js"

/**
 * The new global adapter, as the strategy makes it of the sealed updates and the adapter so far. Updates are opened and
 * added one by one, in the order of `updates`, so that one of them is in memory at a time and the same sealed set gives
 * the same bytes. Throws what openUpdate and the strategy throw.
 */
export async function aggregate(job: AggregateJob): Promise<Aggregation> {
  const clients = job.updates.map(({ clientId, weight }) => ({
    clientId,
    weight: job.weightBy === "equal" ? 1 : weight,
  }))
  const accumulator = STRATEGIES[job.strategy].accumulate({
    ...{ settings: job.settings, clients },
    ...{ global: decoded(job.globalAdapter), state: decoded(job.state) },
  })
  for (const update of job.updates) {
    const { weight, adapter } = await openUpdate(update, job.secret)
    accumulator.add({ clientId: update.clientId, weight, adapter })
  }
  const { global, state, errors, compressionErrors, stackedRank, rank } = accumulator.finish()
  return {
    adapter: encodeAdapter(global),
    state: state && encodeAdapter(state),
    report: {
      updates: clients.length,
      weight: clients.reduce((sum, { weight }) => sum + weight, 0),
      ...{ stackedRank, rank },
      strategyError: largestError(errors),
      compressionError: largestError(compressionErrors),
    },
  }
}

function decoded(bytes: Uint8Array | undefined): Adapter | undefined {
  return bytes && decodeAdapter(bytes)
}

/** Infinite where an exact sum of zero was missed; JSON has no infinity, so the largest number stands for it. */
function largestError(errors: readonly ModuleError[]): number {
  return errors.reduce((largest, { relativeError }) => Math.max(largest, Math.min(relativeError, Number.MAX_VALUE)), 0)
}
