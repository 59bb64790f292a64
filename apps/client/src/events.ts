import type { ErrorCode, LaminaError } from "@lamina/protocol"

/** A run and a round of it, numbered from 1. */
export interface RoundName {
  readonly runId: string
  readonly round: number
}

/** How the coordinator answered an update, from its signed receipt. All of them are ordinary ends of a round. */
export type ReceiptStatus = "ACCEPTED" | "DUPLICATE" | "LATE" | "CLOSED" | "REJECTED"

/**
 * How a round ended for this client. `missed`: the hard deadline passed before the update was ready; `not-selected`:
 * the cohort of this round is without us; `failed`: `code` says why, and the client goes on with the next round.
 */
export interface RoundOutcome extends RoundName {
  readonly outcome: "accepted" | "duplicate" | "late" | "closed" | "rejected" | "missed" | "not-selected" | "failed"
  readonly code?: ErrorCode
  readonly reason?: string
  /** Place of the update in the coordinator's log. */
  readonly sequence?: number
}

/** Everything a client tells while it takes part; nothing of it needs an answer. */
export interface ClientEvents {
  /** A session is open (the first, and every one after a `reconnecting`). `clientId` in hex. */
  connected: { readonly coordinator: string; readonly clientId: string; readonly federationId: string }
  /** The connection is gone; the next attempt comes in `inMs`. Nothing is lost: work goes on, requests wait. */
  reconnecting: { readonly attempt: number; readonly inMs: number; readonly cause: string }
  /** No task: asked again after `retryAfterMs`, or when the coordinator hints. */
  waiting: { readonly reason: string; readonly retryAfterMs: number }
  /** A verified task; times are milliseconds since 1970 by the coordinator's clock. */
  task: RoundName & { readonly steps: number; readonly modules: number; readonly hardDeadlineMs: number }
  /** Bytes of the base or of the global adapter that came from the network. */
  fetching: {
    readonly what: "base" | "adapter"
    readonly path: string
    readonly bytes: number
    readonly bytesTotal: number
  }
  /** Training, once per step of the trainer. */
  progress: RoundName & {
    readonly step: number
    readonly steps: number
    readonly loss: number
    readonly tokensPerSecond: number
  }
  /** The update lies sealed and durable in the spool; from now on these very bytes are what is sent. Root in hex. */
  sealed: RoundName & { readonly envelopeRoot: string; readonly bytes: number }
  /** A chunk became durable at the coordinator. */
  uploading: RoundName & { readonly chunks: number; readonly chunksTotal: number }
  /** All chunks are durable at the coordinator. */
  uploaded: RoundName & { readonly envelopeRoot: string; readonly bytes: number; readonly bytesSent: number }
  /** A verified receipt, already in the journal. */
  receipt: RoundName & { readonly status: ReceiptStatus; readonly sequence: number; readonly code?: ErrorCode }
  /** A round ended for this client, well or not. */
  round: RoundOutcome
  /** Something failed that is tried again: a transfer, a full disk. */
  retrying: { readonly what: string; readonly error: LaminaError; readonly inMs: number }
  /** The last event: the run ended, or `signal` aborted. */
  ended: { readonly reason: "run-ended" | "left"; readonly runId?: string; readonly state?: string }
}

/** Reports an event to whoever listens. */
export type Emit = <K extends keyof ClientEvents>(name: K, event: ClientEvents[K]) => void
