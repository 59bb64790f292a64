import { toHex } from "@lamina/crypto"
import { ERRORS, hasErrorCode } from "@lamina/protocol"
import type { NextTaskReply, RunEnded } from "@lamina/protocol"

import type { RoundOutcome } from "./events.js"
import type { Parts } from "./round.js"
import { takeRound } from "./round.js"
import { Refusal } from "./session/requests.js"
import { resend } from "./submit/submit.js"

/** What a client took part in. `left`: its `signal` aborted first. */
export interface ParticipationResult {
  readonly reason: "run-ended" | "left"
  /** The run it took part in, where there was one. */
  readonly runId?: string
  /** How the run ended by the coordinator's word: `done`, `failed`, `cancelled`. */
  readonly state?: string
  /** Hex content hash of the last global adapter of the run. */
  readonly globalAdapterHash?: string
  /** Every round that reached an end for this client, in order. */
  readonly rounds: readonly RoundOutcome[]
}

/**
 * The database of the coordinator is the truth and its hints may be lost: asked again every 15 s, spread by a fifth.
 */
const POLL_MS = 15_000
const POLL_SPREAD = 0.2
/** A coordinator that says "at once" is asked at once a few times a second at most. */
const WAIT_MS_MIN = 100
/** Characters of a reason; a frame takes 1,000 bytes. */
const REASON_LENGTH_MAX = 250

/**
 * Train every round the coordinator offers until the run ends; `signal` in `parts` ends it by rejection. Updates that
 * an earlier process left in the spool go first, as they are.
 */
export async function takePart(parts: Parts, rounds: RoundOutcome[], wantedRunId = ""): Promise<ParticipationResult> {
  const done = async (outcome: RoundOutcome): Promise<void> => {
    if (outcome.outcome === "failed") await decline(parts, outcome)
    rounds.push(outcome)
    parts.emit("round", outcome)
  }
  for (const name of await parts.spool.list()) {
    // a crash between journal and removal: answered already
    if (parts.journal.find(name.runId, name.round)) await parts.spool.remove(name)
    else {
      const outcome = await resend(parts, name)
      if (outcome) await done(outcome)
    }
  }
  const lastTried = new Map<string, number>()
  const question = (runId: string): Question => ({
    runId,
    afterRound: Math.max(parts.journal.lastRound(runId), lastTried.get(runId) ?? 0),
  })
  // of an earlier process: its run may be over by now, and only a client that names it is told so
  const first = wantedRunId || (rounds.at(-1)?.runId ?? "")
  for (let asked = question(first); ;) {
    const mark = parts.session.hintMark()
    const reply = await nextTask(parts, asked)
    if (reply.ended) {
      await parts.spool.removeWork(reply.ended.runId)
      return { ...endOf(reply.ended), rounds }
    }
    const outcome = reply.task && (await takeRound(parts, reply.task))
    if (outcome) {
      await done(outcome)
      lastTried.set(outcome.runId, outcome.round)
    }
    const next = question(reply.task?.runId ?? asked.runId)
    // what comes after a round that took the update is hinted at; the same question at once would have the same answer
    const same = next.runId === asked.runId && next.afterRound === asked.afterRound
    if (same || outcome?.outcome === "accepted")
      await rest(parts, mark, reply.wait ?? { reason: "this round is submitted", retryAfterMs: 0 })
    asked = next
  }
}

interface Question {
  readonly runId: string
  readonly afterRound: number
}

function endOf({ runId, state, globalAdapterHash }: RunEnded): Omit<ParticipationResult, "rounds"> {
  return { reason: "run-ended", runId, state, globalAdapterHash: toHex(globalAdapterHash) }
}

/** Nobody need wait for what will not come. A coordinator that does not know the request goes on waiting. */
async function decline(
  { session }: Parts,
  { runId, round, code = "INTERNAL", reason = "" }: RoundOutcome,
): Promise<void> {
  if (code === "ROUND_CLOSED") return
  const said = { runId, round, code: ERRORS[code].wire, reason: reason.slice(0, REASON_LENGTH_MAX) }
  try {
    await session.request("round.decline", said)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
  }
}

type Waiting = NonNullable<NextTaskReply["wait"]>

/** The coordinator's answer; a refusal that passes with the round counts as "wait". */
async function nextTask(parts: Parts, request: Question): Promise<NextTaskReply> {
  try {
    return await parts.session.request("round.next", request)
  } catch (error) {
    const passing =
      hasErrorCode(error) && ["NOT_SELECTED", "ROUND_CLOSED", "ROUND_EMPTY", "QUORUM_MISSED"].includes(error.code)
    if (!passing) throw error
    return { wait: { retryAfterMs: 0, reason: error.message } }
  }
}

async function rest(parts: Parts, mark: number, { reason, retryAfterMs }: Waiting): Promise<void> {
  const pollMs = POLL_MS * (1 + POLL_SPREAD * (2 * parts.random() - 1))
  const ms = Math.max(WAIT_MS_MIN, Math.min(pollMs, retryAfterMs > 0 ? retryAfterMs : pollMs))
  parts.emit("waiting", { reason, retryAfterMs: Math.round(ms) })
  await parts.session.hintOr(mark, ms)
}
