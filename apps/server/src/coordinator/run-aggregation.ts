import { hasErrorCode } from "@lamina/protocol/errors"
import type { Recipe } from "@lamina/protocol/recipe"

import type { Aggregating } from "../round/round.js"
import type { RoundRow } from "../store/schema.js"
import { aggregateJob } from "./aggregate-job.js"
import type { CoordinatorContext } from "./context.js"
import { storeAggregation } from "./publish.js"
import type { StoredAggregation } from "./publish.js"

/** A disk that is full may have room again; an aggregation that needs it is tried at this interval. */
const STORAGE_RETRY_MS = 5_000

/** The run an aggregation is for. */
interface Owner {
  readonly id: string
  readonly recipe: Recipe
  /** The number of the round that is open. */
  readonly number: number
  /** Notes that it begins: the round and its row, undefined where there is nothing to aggregate any more. */
  begin(): Promise<{ readonly row: RoundRow; readonly round: Aggregating } | undefined>
  publish(round: number, stored: StoredAggregation): Promise<void>
  /** Notes that it failed. */
  fail(): Promise<unknown>
}

/** Aggregates the sealed rounds of a run in the worker thread, one at a time, again where that fails. */
export class RunAggregation {
  #busy = false
  /** By the system's clock, whatever the rounds go by: room on a disk comes back in real time. */
  #afterMs = 0

  constructor(
    private readonly context: CoordinatorContext,
    private readonly owner: Owner,
  ) {}

  get busy(): boolean {
    return this.#busy
  }

  /** Begins unless one is under way or the last failure was a moment ago. */
  startIfDue(): void {
    if (performance.now() >= this.#afterMs) void this.start()
  }

  async start(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    const { number, recipe } = this.owner
    try {
      const begun = await this.owner.begin()
      if (!begun) return
      const { row } = begun
      const stop = this.context.metrics.aggregation.startTimer()
      const { accepted, counted = [] } = begun.round
      const job = await aggregateJob(this.context, { row, recipe, accepted, counted })
      const stored = await storeAggregation(this.context, { row, job, made: await this.context.worker.run(job) })
      stop()
      await this.owner.publish(number, stored)
    } catch (error) {
      await this.#failed(error)
    } finally {
      this.#busy = false
    }
  }

  async #failed(error: unknown): Promise<void> {
    const { logger, closing } = this.context
    if (closing()) return
    const { id: run, number: round } = this.owner
    this.#afterMs = performance.now() + STORAGE_RETRY_MS
    logger.error({ err: error, run, round }, "an aggregation failed")
    if (hasErrorCode(error) && error.code === "STORAGE_FULL") return // room may come back: tick tries again
    this.#afterMs = 0
    await this.owner.fail().catch((cause: unknown) => {
      logger.error({ err: cause, run }, "a failed aggregation could not be noted; it is tried again")
    })
  }
}
