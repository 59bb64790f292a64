import { checkUpdate } from "@lamina/aggregation"
import type { Identity } from "@lamina/crypto"
import { toHex } from "@lamina/crypto"
import type { Adapter, Metric, TaskOffer } from "@lamina/protocol"
import { compareNames, encodeUpdateInParts, hasErrorCode, LaminaError } from "@lamina/protocol"
import type { DataSource } from "@lamina/tuner"

import type { ResourceLimits } from "./capability.js"
import type { Clock } from "./clock.js"
import { removeFolder, writeFailure } from "./durable.js"
import type { Emit, RoundName, RoundOutcome } from "./events.js"
import { fetchAdapter } from "./fetch/adapter-store.js"
import { fetchBase } from "./fetch/base-store.js"
import type { Http } from "./fetch/http.js"
import type { OpenLink } from "./session/handshake.js"
import type { Session } from "./session/session.js"
import type { Journal, JournalEntry } from "./submit/journal.js"
import type { Spool, SpooledUpdate } from "./submit/spool.js"
import { resend, submit } from "./submit/submit.js"
import { startingPoint } from "./starting-point.js"
import type { Random } from "./timing.js"
import { abortable, backoffMs, onAbort } from "./timing.js"
import type { TrainedUpdate, Trainer } from "./trainer.js"
import type { Parties, VerifiedTask } from "./verify.js"
import { checkSupported, verifyOffer } from "./verify.js"

/** Everything one participation holds. */
export interface Parts {
  readonly session: Session
  readonly http: Http
  readonly journal: Journal
  readonly spool: Spool
  readonly trainer: Trainer
  readonly identity: Identity
  readonly data: DataSource
  readonly cache: string
  readonly localBase: string | undefined
  readonly adapterBytesMax: number
  readonly limits: ResourceLimits
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  readonly signal: AbortSignal
}

/** Failures of one round that say nothing about the next: the client reports them and goes on. */
const ROUND_ONLY = new Set([
  "PLAN_UNSUPPORTED",
  "TRAINING_DIVERGED",
  "BLOB_CORRUPT",
  "FRAME_TOO_LARGE",
  "STORAGE_FULL",
  "NOT_FOUND",
  "ROUND_CLOSED",
])

/**
 * One offered round, to its end for this client; undefined for one that was submitted before. Expected ends (late,
 * closed, rejected, the deadline) and failures of this round alone come back as an outcome; what the next round would
 * meet again (no data, another base, a forged signature) is thrown.
 */
export async function takeRound(parts: Parts, offer: TaskOffer): Promise<RoundOutcome | undefined> {
  const link = await parts.session.link()
  const task = verifyOffer(offer, link)
  const name = { runId: task.runId, round: task.round }
  if (parts.journal.find(name.runId, name.round)) return undefined
  expectToFollow(task, parts.journal.find(name.runId, name.round - 1))
  const resent = await resend(parts, name)
  if (resent) return resent
  parts.emit("task", {
    ...name,
    steps: task.plan.steps,
    modules: task.plan.modules.length,
    hardDeadlineMs: task.header.hardDeadlineMs,
  })
  const prepared = await prepareInTime(parts, task, link)
  if (!("outcome" in prepared)) return submit(parts, prepared)
  await parts.spool.remove(name) // the round will not be taken up again
  return prepared
}

/** The headers of a run are a chain: one that skips the round this client answered is another history. */
function expectToFollow({ header }: VerifiedTask, before: JournalEntry | undefined): void {
  const got = toHex(header.previousHeaderHash)
  if (before && before.headerHash !== "" && before.headerHash !== got)
    throw new LaminaError(
      "SIGNATURE_INVALID",
      `round ${header.round}: expected it to follow ${before.headerHash}, got ${got}`,
      {
        hint: "the coordinator shows this client another history than before; ask its operator",
      },
    )
}

/** The durable envelope of this round, or why there is none. */
async function prepareInTime(parts: Parts, task: VerifiedTask, link: OpenLink): Promise<SpooledUpdate | RoundOutcome> {
  /** At the deadline, and when the client is to stop. */
  const stop = new AbortController()
  const leftMs = task.header.hardDeadlineMs - (parts.clock.now() + link.clockAheadMs)
  const cancel = parts.clock.after(Math.max(0, leftMs), () => stop.abort())
  const forget = onAbort(parts.signal, () => stop.abort(parts.signal.reason))
  const name = { runId: task.runId, round: task.round }
  try {
    checkSupported(task.plan, parts.limits)
    return await prepare(parts, task, link, stop.signal)
  } catch (error) {
    parts.signal.throwIfAborted()
    if (hasErrorCode(error) && isOfThisRound(error.code))
      return { ...name, outcome: "failed", code: error.code, reason: error.message }
    if (stop.signal.aborted && !hasErrorCode(error)) return { ...name, outcome: "missed" }
    throw error
  } finally {
    cancel()
    forget()
  }
}

function isOfThisRound(code: string): boolean {
  return ROUND_ONLY.has(code) || code.startsWith("UPDATE_")
}

/** Fetches, trains and seals, until the signal aborts: the durable envelope of this round. */
async function prepare(
  parts: Parts,
  task: VerifiedTask,
  parties: Parties,
  signal: AbortSignal,
): Promise<SpooledUpdate> {
  const name = { runId: task.runId, round: task.round }
  const { baseFolder, view } = await withRoom(parts, signal, "fetch", () => fetchAll(parts, task, signal))
  const { initial, frozen: globalAdapter } = startingPoint(task.plan, view)
  const inputs = { baseFolder, globalAdapter, initial, signal }
  const trained = await withRoom(parts, signal, "train", () => train(parts, task, inputs))
  const content = {
    ...{ weight: weightOf(task, trained), adapter: trained.adapter, metrics: metricsOf(trained) },
    scores: task.plan.reportScores ? (trained.scores ?? []) : [],
  }
  const update = (): Uint8Array[] => {
    checkUpdate(content, task.plan) // a trainer's mistake is found here, not by the coordinator
    return encodeUpdateInParts(content)
  }
  const spooled = await withRoom(parts, signal, "seal", () =>
    parts.spool.seal(name, { identity: parts.identity, task, federationId: parties.federationId, update }),
  )
  try {
    parts.emit("sealed", { ...name, envelopeRoot: toHex(spooled.root), bytes: spooled.bytes })
  } catch (error) {
    spooled.release() // a listener's error: nobody will send it now
    throw error
  }
  return spooled
}

/** Repeats what found the disk full until there is room or the round is over; then the disk is what failed. */
async function withRoom<T>(parts: Parts, signal: AbortSignal, what: string, work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work()
    } catch (raw) {
      const error = writeFailure(raw, what)
      if (!hasErrorCode(error) || error.code !== "STORAGE_FULL") throw raw
      await parts.session.pause(what, error, backoffMs(attempt, parts.random))
      if (signal.aborted) throw error
    }
  }
}

async function fetchAll(
  parts: Parts,
  task: VerifiedTask,
  signal: AbortSignal,
): Promise<{ baseFolder: string; view: Adapter | undefined }> {
  const { header, plan } = task
  const baseFolder = await abortable(fetchBase(parts, header.baseHash), signal)
  const own = plan.globalAdapterHash
  const viewHash = own.length > 0 ? own : header.globalAdapterHash
  const first = viewHash.every((byte) => byte === 0) // none yet: empty, or zeros
  const bytesMax = Math.min(parts.adapterBytesMax, parts.limits.downloadBytesMax || Infinity)
  const options = { ...parts, bytesMax }
  const view = first ? undefined : await abortable(fetchAdapter(options, viewHash), signal)
  return { baseFolder, view }
}

interface Inputs {
  readonly baseFolder: string
  readonly globalAdapter: Adapter | undefined
  readonly initial: Adapter | undefined
  readonly signal: AbortSignal
}

async function train(parts: Parts, task: VerifiedTask, inputs: Inputs): Promise<TrainedUpdate> {
  const name = { runId: task.runId, round: task.round }
  const { signal, ...start } = inputs
  const work = {
    ...{ ...name, ...start, plan: task.plan, data: parts.data },
    /** Made for who asks where it is. */
    get workFolder() {
      return parts.spool.makeWorkFolder(name)
    },
  }
  const context = { signal, onProgress: reporter(parts, name) }
  try {
    return await parts.trainer.train(work, context)
  } catch (error) {
    if (!hasErrorCode(error) || error.code !== "CHECKPOINT_MISMATCH") throw error
    // what lies there is of another plan of this round (the coordinator tried the round again): begin anew
    await removeFolder(parts.spool.workFolder(name))
    return await parts.trainer.train(work, context)
  }
}

type Report = Parameters<Parameters<Trainer["train"]>[1]["onProgress"]>[0]

/** The coordinator hears of it once a second at most. */
const TELL_MS = 1_000

function reporter(parts: Parts, name: RoundName): (report: Report) => void {
  let toldMs = -Infinity
  return (report) => {
    parts.emit("progress", { ...name, ...report })
    if (performance.now() - toldMs < TELL_MS && report.step !== report.steps) return
    toldMs = performance.now()
    parts.session.tell("round.progress", { ...name, phase: "training", ...report })
  }
}

/** What the round weighs by. A data set of nothing has no weight, and no update. */
function weightOf(task: VerifiedTask, trained: TrainedUpdate): number {
  const rule = task.header.weightRule
  const weight = rule === "equal" ? 1 : rule === "tokens" ? trained.dataTokens : trained.dataExamples
  if (!Number.isInteger(weight) || weight < 1)
    throw new LaminaError("DATA_EMPTY", `expected at least one of the ${rule} this round weighs by, got ${weight}`)
  return weight
}

function metricsOf({ metrics }: TrainedUpdate): Metric[] {
  const names = Object.keys(metrics).sort(compareNames)
  return names.map((name) => ({ name, value: metrics[name] ?? 0 }))
}
