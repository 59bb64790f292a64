import type { TrainedUpdate } from "@lamina/client"

import type { Schedule } from "./device-time.js"

interface Assigned {
  readonly client: string
  readonly round: number
  /** Of a device that is still at an earlier round when it is given this one: what it is given. */
  readonly next?: number
  /** Of a round that was over when the simulation was stopped: it comes to its end though nobody waits for it. */
  readonly leftOver?: boolean
  readonly schedule: Schedule
  /** Of its round: what would come then or later does not come. Virtual ms since 1970. */
  readonly hardDeadlineMs: number
  /** The training itself; `stop` ends it where nobody needs it any more. */
  readonly train: (stop: AbortSignal) => Promise<TrainedUpdate>
}

/** One client's training of one round: when it happens by the virtual clock, and the training itself. */
export class Work {
  readonly client: string
  readonly round: number
  readonly next: number | undefined
  readonly leftOver: boolean
  readonly schedule: Schedule
  /** When its device is through with it. */
  readonly dueMs: number
  /** Whether the hard deadline of its round ends it. */
  readonly overdue: boolean
  /** Settled when the conductor says so, with the training's result. */
  readonly result: Promise<TrainedUpdate>
  /** How it ended without an update, once that is recorded. */
  fate: "late" | "drops" | "out-of-memory" | undefined
  /** The round that is open when its update arrives. */
  countedRound: number | undefined
  readonly #train: (stop: AbortSignal) => Promise<TrainedUpdate>
  readonly #stop = new AbortController()
  #trained: Promise<TrainedUpdate> | undefined
  #state: "waiting" | "training" | "trained" = "waiting"
  /** Settled when a device that was busy may take up its next round. */
  readonly free: Promise<void>
  #takeUp!: () => void
  #resolve!: (update: Promise<TrainedUpdate>) => void
  #reject!: (reason: unknown) => void

  constructor({ client, round, next, leftOver = false, schedule, hardDeadlineMs, train }: Assigned) {
    this.client = client
    this.round = round
    this.next = next
    this.leftOver = leftOver
    this.schedule = schedule
    this.dueMs = Math.min(schedule.endMs, hardDeadlineMs)
    this.overdue = schedule.endMs >= hardDeadlineMs
    this.#train = train
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.free = new Promise((resolve, reject) => {
      this.#takeUp = resolve
      this.result.catch(reject)
    })
    this.free.catch(() => undefined)
  }

  get state(): "waiting" | "training" | "trained" {
    return this.#state
  }

  /** Trains ahead of its time; `done` is called when it has. */
  start(done: () => void = () => undefined): void {
    if (this.#trained) return
    this.#state = "training"
    this.#trained = this.#train(this.#stop.signal).finally(() => (this.#state = "trained"))
    this.#trained.catch(() => undefined).finally(done)
  }

  /** Its time has come: the result, once it is there. */
  release(): void {
    this.start()
    this.#resolve(this.#trained!)
  }

  takeUp(): void {
    this.#takeUp()
  }

  /** No update of it is wanted: training that runs ahead is ended first, so that nothing writes for it any more. */
  refuse(reason: unknown): void {
    this.#stop.abort(reason)
    const over = this.#trained?.catch(() => undefined) ?? Promise.resolve()
    void over.then(() => this.#reject(reason))
  }
}
