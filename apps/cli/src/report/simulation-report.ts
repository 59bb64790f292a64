import type { ModuleCoverage, ModuleSpectrum } from "@lamina/aggregation"
import type { ClientRows } from "../simulate/population.js"

/** What became of a client in a round. */
export type ClientOutcome =
  | "accepted"
  /** Not in when the round closed, or in buffered rounds so long after it that it was dropped. */
  | "late"
  /** Gone in the middle of the round. */
  | "dropped"
  /** Its plan needs more memory than the device has. */
  | "out-of-memory"
  /** Its update was refused. */
  | "rejected"
  /** It ended with an error of its own. */
  | "failed"

/** Times are virtual milliseconds since the run began; a phase that was not reached has none. */
export interface ReportedTurn {
  readonly name: string
  /** Its kind of machine. */
  readonly device: string
  /** Largest rank of its plan. */
  readonly rank: number
  readonly outcome: ClientOutcome
  readonly startMs: number
  /** End of its download, its training and everything. */
  readonly downloadedMs?: number
  readonly trainedMs?: number
  readonly endMs: number
  /** Of an update that was accepted or rejected, whole; of any other end 0. */
  readonly bytesUp: number
  /** Of the global adapter; where the device was gone during its download, in proportion to the time of it. */
  readonly bytesDown: number
  /** What its plan needs. */
  readonly memoryBytes: number
  /** Rounds between the global adapter it started from and this one. */
  readonly staleness?: number
  /** Training loss of its last step, nats per token. */
  readonly loss?: number
}

/** Held-out scores over predicted tokens: loss in natural log, accuracy the share that is the model's first choice. */
export interface ReportedScore {
  readonly loss: number
  readonly accuracy: number
  readonly perClient: Readonly<Record<string, { loss: number; accuracy: number; tokens: number }>>
}

export interface ReportedRound {
  /** From 1. */
  readonly round: number
  /** It ended without a quorum, and the next one tried again: no scores, no new global adapter. */
  readonly abandoned?: true
  readonly openedMs: number
  readonly closedMs: number
  readonly bytesUp: number
  readonly bytesDown: number
  readonly heldOut?: ReportedScore
  readonly clients: readonly ReportedTurn[]
  /** Largest relative error of a module that the strategy, and compression, made in this round. */
  readonly strategyError: number
  readonly compressionError: number
  /** Largest rank of the global adapter before and after compression. */
  readonly stackedRank: number
  readonly rank: number
  readonly coverage: readonly ModuleCoverage[]
}

export interface ReportedClient {
  readonly name: string
  readonly device: string
  /** Largest it trains. */
  readonly rank: number
  /** Storage of the base in its last plan; of a client that had none, the one its held-out data is scored on. */
  readonly precision: string
  /** Of its training data, where they are known: tokens once an update of it was accepted, rows of a population. */
  readonly tokens?: number
  readonly rows?: number
}

export interface ReportedRun {
  /** Short and unlike the others': the legend's entry and the folder's name. */
  readonly name: string
  readonly strategy: string
  /** Scores of the base before any round. */
  readonly base?: ReportedScore
  /** In order, those that closed and those that were abandoned. */
  readonly rounds: readonly ReportedRound[]
  /** Of the global adapter at the end. */
  readonly spectrum?: readonly ModuleSpectrum[]
  readonly clients: readonly ReportedClient[]
  /** Who holds which rows, where a population was divided. */
  readonly partition?: readonly ClientRows[]
}

/** Everything the report of one or more runs shows, as plain data. */
export interface SimulationReport {
  readonly name: string
  readonly runs: readonly ReportedRun[]
}
