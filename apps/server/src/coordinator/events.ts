import { EventEmitter } from "node:events"

import type { HashHex } from "../round/round.js"
import type { AggregationReport } from "../worker/jobs.js"

interface OfRound {
  readonly runId: string
  readonly round: number
}
interface OfClient extends OfRound {
  readonly clientId: string
  readonly client: string
}

/** The latest a client said about its training of a round. */
export interface ClientProgress extends OfClient {
  readonly phase: string
  readonly step: number
  readonly steps: number
  readonly loss: number
  readonly tokensPerSecond: number
}

/**
 * What observers in the same process are told: the CLI, the simulator, the figures. `client` and `clients` are names.
 * News only: the database is the truth, and an observer that throws harms nobody but itself.
 */
export interface CoordinatorEventMap {
  clientJoined: { readonly clientId: string; readonly client: string }
  clientLeft: { readonly clientId: string; readonly client: string }
  runCreated: { readonly runId: string; readonly name: string; readonly rounds: number }
  /** An unfinished run that a start found. */
  runResumed: { readonly runId: string; readonly name: string; readonly rounds: number }
  /** Once for each round that does not begin because too few clients are there; `reason` says how many. */
  runWaiting: OfRound & { readonly reason: string }
  roundOpened: OfRound & { readonly clients: readonly string[] }
  progress: ClientProgress
  updateAccepted: OfClient & {
    readonly sequence: number
    readonly weight: number
    readonly metrics: Readonly<Record<string, number>>
  }
  /** It brings no update to a round that waits for one; `reason` is its own word. */
  clientDeclined: OfClient & { readonly code: string; readonly reason: string }
  updateRefused: OfClient & { readonly status: "REJECTED" | "LATE" | "CLOSED"; readonly code?: string }
  /** `cohort`: how many clients it was open to. */
  roundSealed: OfRound & { readonly accepted: number; readonly cohort: number }
  roundPublished: OfRound & { readonly adapterHash: HashHex; readonly report: AggregationReport }
  roundAbandoned: OfRound & { readonly reason: string }
  /** A run could not go on; it is tried again, and may go on then. */
  runStalled: { readonly runId: string; readonly error: unknown }
  runEnded: { readonly runId: string; readonly state: "done" | "failed" | "cancelled"; readonly reason?: string }
}

type Listener<T> = (event: T) => void

/** Typed events; `hint` is for the socket edge: tell every client to ask again. */
export class CoordinatorEvents {
  readonly #emitter = new EventEmitter()

  constructor(private readonly onListenerError: (error: unknown) => void) {}

  on<K extends keyof CoordinatorEventMap>(name: K, listener: Listener<CoordinatorEventMap[K]>): void {
    this.#emitter.on(name, this.#guarded(listener))
  }

  onHint(listener: () => void): void {
    this.#emitter.on("hint", listener)
  }

  tell<K extends keyof CoordinatorEventMap>(name: K, event: CoordinatorEventMap[K]): void {
    this.#emitter.emit(name, event)
  }

  hint(): void {
    this.#emitter.emit("hint")
  }

  #guarded<T>(listener: Listener<T>): Listener<T> {
    return (event) => {
      try {
        listener(event)
      } catch (error) {
        this.onListenerError(error)
      }
    }
  }
}
