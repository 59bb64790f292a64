import type { ClientTerms, ModuleCoverage, ModuleError, StrategySettings } from "@lamina/aggregation"
import type { ModuleScore, StrategyName } from "@lamina/protocol"
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
  | {
      readonly verdict: "accepted"
      readonly weight: number
      readonly metrics: Readonly<Record<string, number>>
      /** Importance of its modules, where the plan asked for it. */
      readonly scores: readonly ModuleScore[]
    }
  | { readonly verdict: ErrorCode; readonly message: string }

/** One update of a sealed set: it may have been trained for an earlier round than the one that counts it. */
export interface CountedUpdate extends SealedUpdate {
  readonly secret: RoundSecret
  /** What it weighs: by the recipe's rule, less for staleness. */
  readonly weight: number
}

/** Aggregate a sealed set, in the order given, on top of the global adapter so far. */
export interface AggregateJob {
  readonly kind: "aggregate"
  readonly updates: readonly CountedUpdate[]
  /** encodeAdapter bytes; undefined before the first round ended. */
  readonly globalAdapter: Uint8Array | undefined
  /** What the strategy kept from the round before; encodeAdapter bytes. */
  readonly state: Uint8Array | undefined
  readonly strategy: StrategyName
  readonly settings: StrategySettings
  /** Folder that every update's adapter is written to by its hash, where they are kept. */
  readonly keepIn: string | undefined
}
export interface Aggregation {
  /** encodeAdapter bytes of the new global adapter. */
  readonly adapter: Uint8Array
  readonly state: Uint8Array | undefined
  readonly report: Omit<AggregationReport, "stateHash">
  /** Content hashes of the updates' adapters, in their order; empty where they are not kept. */
  readonly kept: readonly string[]
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
  /** By module. */
  readonly errors: readonly ModuleError[]
  readonly coverage: readonly ModuleCoverage[]
  /** Clients whose rank the strategy lowered for good so far: client id -> rank. */
  readonly prunedRanks: Readonly<Record<string, number>>
  /** Content hash of what the strategy keeps for the next round. */
  readonly stateHash?: string
}

/** Cut the global adapter to what clients of these terms start from. */
export interface ProjectJob {
  readonly kind: "project"
  readonly strategy: StrategyName
  readonly settings: StrategySettings
  readonly globalAdapter: Uint8Array
  readonly wanted: readonly { readonly terms: ClientTerms; readonly bytesMax: number }[]
}
export interface Projected {
  /** encodeAdapter bytes. */
  readonly adapter: Uint8Array
  /** By module: leading rows that the client's own factors start from. */
  readonly startRanks: Readonly<Record<string, number>>
  readonly relativeError: number
}
/** No view keeps to the budget: what is the matter. */
export interface Unprojected {
  readonly refused: string
}

export type Job = InspectJob | AggregateJob | ProjectJob
export interface JobResults {
  readonly inspect: Inspection
  readonly aggregate: Aggregation
  readonly project: readonly (Projected | Unprojected)[]
}
