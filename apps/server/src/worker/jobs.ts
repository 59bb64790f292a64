import type { StrategyName } from "@lamina/protocol"
import type { ErrorCode } from "@lamina/protocol/errors"

/** Where an envelope lies: a file of its own, or a row of the database for a small one. */
export type EnvelopeSource = { readonly path: string } | { readonly database: string; readonly uploadId: string }

/**
 * One sealed update on the coordinator's disk, with what is needed to open and judge it. Plain data: it crosses a
 * thread border.
 */
export interface SealedUpdate {
  readonly source: EnvelopeSource
  /** EnvelopeHeader bytes as the upload was opened with. */
  readonly header: Uint8Array
  readonly envelopeBytes: number
  readonly envelopeRoot: Uint8Array
  readonly clientId: string
  readonly clientName: string
  /** Plan bytes the update must answer. */
  readonly plan: Uint8Array
}

/** What opens the envelopes of one round. */
export interface RoundSecret {
  readonly federationId: Uint8Array
  readonly headerHash: Uint8Array
  readonly recipientSecret: Uint8Array
}

/** Open one update and judge it against its plan. */
export interface InspectJob {
  readonly kind: "inspect"
  readonly update: SealedUpdate
  readonly secret: RoundSecret
}
export type Inspection =
  | { readonly verdict: "accepted"; readonly weight: number; readonly metrics: Readonly<Record<string, number>> }
  | { readonly verdict: ErrorCode; readonly message: string }

/** Aggregate a sealed set, in the order given, on top of the global adapter so far. */
export interface AggregateJob {
  readonly kind: "aggregate"
  readonly updates: readonly SealedUpdate[]
  readonly secret: RoundSecret
  /** encodeAdapter bytes; undefined before the first round ended. */
  readonly globalAdapter: Uint8Array | undefined
  readonly strategy: StrategyName
  readonly weightBy: "tokens" | "examples" | "equal"
  readonly tau: number
  readonly maxRank: number | undefined
}
export interface Aggregation {
  /** encodeAdapter bytes of the new global adapter. */
  readonly adapter: Uint8Array
  readonly report: AggregationReport
}

/** What one aggregation did to the exact sum; stored with the round. */
export interface AggregationReport {
  readonly updates: number
  readonly weight: number
  /** Largest rank of a module before and after compression. */
  readonly stackedRank: number
  readonly rank: number
  /** Largest relative Frobenius error of a module that the strategy, then compression, introduced. */
  readonly strategyError: number
  readonly compressionError: number
}

export type Job = InspectJob | AggregateJob
export interface JobResults {
  readonly inspect: Inspection
  readonly aggregate: Aggregation
}
