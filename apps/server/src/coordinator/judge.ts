import type { AnswerStatus, Round, RoundEffect, RoundEvent } from "../round/round.js"
import { step } from "../round/step.js"
import type { RoundState } from "../store/schema.js"
import type { NewUpdate, RecordedAnswer } from "../store/store.js"

export type CommitEvent = RoundEvent & { readonly kind: "commit" }

export interface AskedCommit {
  readonly update: Omit<NewUpdate, "at_ms" | "run_id">
  readonly verdict: CommitEvent["verdict"]
}

/** `sequence`: of a durable answer of this very commit; 0 otherwise. */
export interface CommitAnswer {
  readonly status: AnswerStatus
  readonly sequence: number
}

interface Judged {
  /** `recorded`: index of what is to be made durable for it, -1 where nothing is. */
  readonly answers: readonly { readonly status: AnswerStatus; readonly recorded: number }[]
  readonly recorded: readonly RecordedAnswer[]
  /** The round after all of them. */
  readonly round: Round
  /** What else follows, answers left out. */
  readonly effects: readonly RoundEffect[]
}

interface Standing {
  readonly runId: string
  readonly number: number
  readonly round: Round
  /** Events logged so far. */
  readonly seq: number
  readonly atMs: number
}

/**
 * Commits in the order in which they came, by the rules of the round, each on what the one before it left. Pure:
 * nothing is durable or said yet. A commit of another round than the one that is open is NOT_SELECTED.
 */
export function judgeAll(asked: readonly AskedCommit[], { runId, number, seq, atMs, ...now }: Standing): Judged {
  const recorded: RecordedAnswer[] = []
  const effects: RoundEffect[] = []
  let { round } = now
  const answers = asked.map(({ update, verdict }) => {
    if (update.round !== number) return { status: "NOT_SELECTED" as const, recorded: -1 }
    const event = { kind: "commit", clientId: update.client_id, envelopeRoot: update.envelope_root, verdict } as const
    const after = step(round, event, atMs)
    const changed = after.round !== round
    round = after.round
    let status: AnswerStatus = "NOT_SELECTED"
    for (const effect of after.effects)
      if (effect.kind === "answer") status = effect.status
      else effects.push(effect)
    if (!changed) return { status, recorded: -1 }
    const taken = status === "ACCEPTED" || status === "REJECTED"
    const logged = { runId, round: number, seq: seq + recorded.length + 1, event, atMs }
    recorded.push({
      update: taken ? { ...update, run_id: runId, at_ms: atMs } : undefined,
      logged: { ...logged, state: round.phase as RoundState },
    })
    return { status, recorded: recorded.length - 1 }
  })
  return { answers, recorded, round, effects }
}

/** A carried update that comes between two rounds has no answer by the rules of either: it is late for the first. */
export function statusIn(effects: readonly RoundEffect[]): AnswerStatus {
  for (const effect of effects) if (effect.kind === "answer") return effect.status
  return "LATE"
}
