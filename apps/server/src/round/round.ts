import type { ErrorCode } from "@lamina/protocol/errors"

import type { Answers } from "./answers.js"

/** Hex of the 16 bytes of a client id, and of the 32 bytes of a Merkle root or content hash. */
export type ClientId = string
export type HashHex = string

export interface CohortMember {
  readonly id: ClientId
  /** Aggregation order is by name, then id: the same whatever the arrival order and whatever the keys. */
  readonly name: string
}

/** What was fixed when the round opened. Deadlines are absolute (ms since 1970): a restart recomputes nothing. */
export interface RoundTerms {
  readonly cohort: readonly CohortMember[]
  /** Accepted updates that close the round at once; the whole cohort where it is not said (no over-selection). */
  readonly wanted?: number
  /** Accepted updates without which the round is abandoned; a count in 1..wanted. */
  readonly quorum: number
  /**
   * Buffered rounds (FedBuff) only: how many clients were still training for earlier rounds when this one opened; what
   * they send is carried into this one.
   */
  readonly busy?: number
  readonly softDeadlineMs: number
  readonly hardDeadlineMs: number
}

/**
 * The first envelope of a client and what came of it; a second envelope never replaces it. Without a root: the client
 * said that it brings none.
 */
export interface Answer {
  readonly envelopeRoot: HashHex
  readonly verdict: Verdict
}
/** "accepted", or the code that says why the update was refused. */
type Verdict = "accepted" | ErrorCode

/** Buffered rounds: an update that was trained for an earlier round and counts in this one. */
export interface CarriedUpdate extends CohortMember, Answer {
  /** The round it was trained for. */
  readonly round: number
}

type AbandonReason = "quorum-missed" | "aggregation-failed" | "cancelled"

/** A round before its cohort is fixed: nothing about it was promised to anybody, so it lives in memory only. */
export interface Selecting {
  readonly phase: "selecting"
  /** Cohort size at which the round opens at once. */
  readonly target: number
  /** Cohort size that is enough once `patienceMs` has come; equal to `target` where only the full cohort will do. */
  readonly minimum: number
  readonly patienceMs: number
}
interface Open {
  readonly terms: RoundTerms
  readonly answers: Answers
  /** In the order they came; buffered rounds only. */
  readonly carried?: readonly CarriedUpdate[]
}
interface Closed extends Open {
  /** Sorted by name, then id. */
  readonly accepted: readonly ClientId[]
  /** Accepted ones among the carried, sorted by the round they were trained for, name, id. */
  readonly counted?: readonly CarriedUpdate[]
  /** Came after the seal; kept so that the round's record names them. */
  readonly late: readonly ClientId[]
}
export type Collecting = Open & { readonly phase: "collecting" }
export type Sealed = Closed & { readonly phase: "sealed" }
/** `failures`: aggregations of this sealed set that failed so far. */
export type Aggregating = Closed & { readonly phase: "aggregating"; readonly failures: number }
export type Published = Closed & { readonly phase: "published"; readonly adapterHash: HashHex }
type Abandoned = { readonly phase: "abandoned"; readonly reason: AbandonReason } & Partial<Open>

/**
 * One round, open mode: selecting -> collecting -> sealed -> aggregating -> published, or abandoned from anywhere but
 * published. What this version does not have: announcement and acknowledgement phases, verification by peers,
 * unmasking.
 */
export type Round = Selecting | Collecting | Sealed | Aggregating | Published | Abandoned

export type RoundEvent =
  /** Who is connected now, in the order in which they are to be drawn. */
  | { readonly kind: "present"; readonly clients: readonly CohortMember[] }
  | { readonly kind: "configured"; readonly terms: RoundTerms }
  | {
      readonly kind: "commit"
      readonly clientId: ClientId
      readonly envelopeRoot: HashHex
      readonly verdict: Verdict
    }
  /** A member says that it brings none, and why. */
  | { readonly kind: "declined"; readonly clientId: ClientId; readonly code: ErrorCode }
  /** Buffered rounds: an update of an earlier round. */
  | ({ readonly kind: "carry" } & CarriedUpdate)
  | { readonly kind: "tick" }
  | { readonly kind: "aggregation-started" }
  | { readonly kind: "aggregated"; readonly adapterHash: HashHex }
  | { readonly kind: "aggregation-failed" }
  | { readonly kind: "cancelled" }

/** Every commit is answered with one of these; none is an error. */
export type AnswerStatus = "ACCEPTED" | "REJECTED" | "DUPLICATE" | "CONFLICT" | "LATE" | "CLOSED" | "NOT_SELECTED"

export type RoundEffect =
  /** Make keys, header and plans for this cohort, then send `configured`. */
  | { readonly kind: "configure"; readonly cohort: readonly CohortMember[] }
  | { readonly kind: "answer"; readonly clientId: ClientId; readonly status: AnswerStatus }
  /** Aggregate the sealed set (in this order), then send `aggregated` or `aggregation-failed`. */
  | {
      readonly kind: "aggregate"
      readonly accepted: readonly ClientId[]
      readonly counted?: readonly CarriedUpdate[]
    }
  | { readonly kind: "publish"; readonly adapterHash: HashHex }
  | { readonly kind: "abandon"; readonly reason: AbandonReason }

export interface StepResult<R extends Round = Round> {
  readonly round: R
  readonly effects: readonly RoundEffect[]
}

/** True once nothing can change the round any more. */
export function isOver(round: Round): round is Published | Abandoned {
  return round.phase === "published" || round.phase === "abandoned"
}
