import { RoundMemory, STRATEGIES } from "@lamina/aggregation"
import type { ModuleError, RoundResult } from "@lamina/aggregation"
import { decodeAdapter, encodeAdapter, messages } from "@lamina/protocol"
import type { Update } from "@lamina/protocol"

import type { AggregateJob, Aggregation } from "./jobs.js"
import { keepAdapter } from "./keep-adapter.js"
import { OpenAhead } from "./open-ahead.js"
import { clearBuffers, forget, forgetKeys } from "./open-update.js"

/**
 * What this thread keeps of a round's memory for the next: 100 updates of 17 MB come to 1.7 GB, and to touch so much
 * afresh takes a second. It is no more than the round just needed, and kept while rounds follow each other: where one
 * lasts longer than KEPT_MS, a second more is nothing to it.
 */
const KEPT_BYTES_MAX = 2 ** 31
const KEPT_MS = 60_000

const memory = new RoundMemory(KEPT_BYTES_MAX)
let letGo: NodeJS.Timeout | undefined

/**
 * The new global adapter by the recipe's strategy. Updates are opened and added in the order given, so that the same
 * sealed set gives the same bytes, and no more than OPEN_BYTES_MAX of them, or one, are in memory.
 */
export async function aggregate(job: AggregateJob): Promise<Aggregation> {
  clearTimeout(letGo)
  try {
    return await inMemory(job)
  } finally {
    // all of the result that lay in it is encoded
    memory.release()
    letGo = setTimeout(clearMemory, KEPT_MS).unref()
  }
}

function clearMemory(): void {
  memory.clear()
  clearBuffers()
}

/** An update whose tensors are views of `memory`. */
interface OpenUpdate extends Update {
  readonly memory: Uint8Array
}

async function inMemory(job: AggregateJob): Promise<Aggregation> {
  const { strategy, settings, globalAdapter, state, updates, keepIn } = job
  const sum = STRATEGIES[strategy].accumulate({
    settings,
    global: globalAdapter && decodeAdapter(globalAdapter),
    state: state && decodeAdapter(state),
    clients: updates.map(({ clientId, weight, plan }) => ({ clientId, weight, rankMax: rankMaxOf(plan) })),
    memory,
  })
  const kept: string[] = []
  let open: OpenUpdate[] = []
  const ahead = new OpenAhead(updates)
  for (const update of updates) {
    const opened = await ahead.next(open)
    const { adapter } = opened.content
    if (keepIn !== undefined) kept.push(await keepAdapter(keepIn, adapter))
    // accepted by checkUpdate, and authenticated since
    open.push({ clientId: update.clientId, weight: update.weight, adapter, finite: true, memory: opened.memory })
    if (open.length < sum.atOnce(open[0]!) && ahead.hasNext(open)) continue
    sum.add(...open)
    open.forEach(forget)
    open = []
  }
  forgetKeys()
  const result = sum.finish()
  const weight = updates.reduce((total, each) => total + each.weight, 0)
  return {
    adapter: encodeAdapter(result.global),
    state: result.state && encodeAdapter(result.state),
    report: { ...reportOf(result), updates: updates.length, weight },
    kept,
  }
}

/** Accepted updates have the ranks of their plans (checkUpdate). */
function rankMaxOf(plan: Uint8Array): number {
  return Math.max(0, ...messages.Plan.decode(plan).modules.map(({ rank }) => rank))
}

function reportOf(result: RoundResult): Omit<Aggregation["report"], "updates" | "weight"> {
  const { errors, compressionErrors, coverage, stackedRank, rank, prunedRanks } = result
  return {
    ...{ stackedRank, rank, coverage },
    strategyError: largestError(errors),
    compressionError: largestError(compressionErrors),
    errors: errors.map(({ module, relativeError }) => ({ module, relativeError: finite(relativeError) })),
    prunedRanks: Object.fromEntries(prunedRanks),
  }
}

function largestError(errors: readonly ModuleError[]): number {
  return errors.reduce((largest, { relativeError }) => Math.max(largest, finite(relativeError)), 0)
}

/** Infinite where an exact sum of zero was missed; JSON has no infinity, so the largest number stands for it. */
function finite(error: number): number {
  return Math.min(error, Number.MAX_VALUE)
}
