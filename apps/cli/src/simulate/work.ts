import type { TrainedUpdate } from "@lamina/client"

import type { Schedule } from "./device-time.js"

interface Assigned {
  readonly client: string
  readonly round: number
  readonly schedule: Schedule
  readonly train: () => Promise<TrainedUpdate>
}

/** One client's training of one round: when it happens by the virtual clock, and the training itself. */
export class Work {
  readonly client: string
  readonly round: number
  readonly schedule: Schedule
  /** Settled when the conductor says so, with the training's result. */
  readonly result: Promise<TrainedUpdate>
  /** How it ended without an update, once that is recorded. */
  fate: "late" | "drops" | "out-of-memory" | undefined
  readonly #train: () => Promise<TrainedUpdate>
  #trained: Promise<TrainedUpdate> | undefined
  #state: "waiting" | "training" | "trained" = "waiting"
  #resolve!: (update: Promise<TrainedUpdate>) => void
  #reject!: (reason: unknown) => void

  constructor({ client, round, schedule, train }: Assigned) {
    this.client = client
    this.round = round
    this.schedule = schedule
    this.#train = train
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  get state(): "waiting" | "training" | "trained" {
    return this.#state
  }

  /** Trains ahead of its time; `done` is called when it has. */
  start(done: () => void = () => undefined): void {
    if (this.#trained) return
    this.#state = "training"
    this.#trained = this.#train().finally(() => (this.#state = "trained"))
    this.#trained.catch(() => undefined).finally(done)
  }

  /** Its time has come: the result, once it is there. */
  release(): void {
    this.start()
    this.#resolve(this.#trained!)
  }

  refuse(reason: unknown): void {
    this.#reject(reason)
  }
}
