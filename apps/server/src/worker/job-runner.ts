import { Worker } from "node:worker_threads"

import { LaminaError } from "@lamina/protocol/errors"
import type { ErrorCode } from "@lamina/protocol/errors"

import type { Job, JobResults } from "./jobs.js"

export interface JobRequest {
  readonly id: number
  readonly job: Job
}

/** How a failure crosses the border of the thread. */
export interface CarriedError {
  readonly message: string
  readonly code?: ErrorCode
  readonly stack?: string
}
export type JobReply =
  | { readonly id: number; readonly result: JobResults[keyof JobResults] }
  | { readonly id: number; readonly error: CarriedError }

interface Waiting {
  resolve(result: never): void
  reject(error: Error): void
}

/** One thread and the jobs it has not answered. */
interface Thread {
  readonly worker: Worker
  readonly waiting: Map<number, Waiting>
}

/**
 * Runs jobs, one after another, in a worker thread, so that the coordinator answers while it opens and aggregates.
 * The thread starts with the first job; one that dies fails its jobs, and the next job gets a new thread.
 */
export class JobRunner {
  #thread: Thread | undefined
  #lastId = 0
  #closing = false
  /** What was asked in this turn of the event loop: to wake a thread costs more than to tell it of an update. */
  #asked: JobRequest[] = []

  run<J extends Job>(job: J): Promise<JobResults[J["kind"]]> {
    const thread = (this.#thread ??= this.#start())
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      thread.waiting.set(id, { resolve, reject })
      if (this.#asked.push({ id, job }) === 1) setImmediate(() => this.#tell())
    })
  }

  /** Jobs of a thread that died in between have failed. */
  #tell(): void {
    const asked = this.#asked.filter(({ id }) => this.#thread?.waiting.has(id))
    this.#asked = []
    if (asked.length > 0) this.#thread?.worker.postMessage(asked)
  }

  /** Ends the thread; jobs under way fail. */
  async close(): Promise<void> {
    this.#closing = true
    await this.#thread?.worker.terminate()
  }

  #start(): Thread {
    const worker = new Worker(new URL("./thread.js", import.meta.url), { name: "lamina-aggregation" })
    const thread: Thread = { worker, waiting: new Map() }
    const died = (error: Error) => {
      if (this.#thread === thread) this.#thread = undefined
      for (const waiting of thread.waiting.values()) waiting.reject(error)
      thread.waiting.clear()
    }
    worker.on("message", (replies: readonly JobReply[]) => {
      for (const reply of replies) settle(thread, reply)
    })
    worker.on("error", died)
    worker.on("exit", (status) => died(this.#closing ? goneAway() : new Error(`the worker thread ended: ${status}`)))
    worker.unref()
    return thread
  }
}

/** To who waits while the coordinator closes: come again, to the next one. */
function goneAway(): LaminaError {
  return new LaminaError("SESSION_EXPIRED", "expected an answer, got a coordinator that closes")
}

function settle({ waiting }: Thread, reply: JobReply): void {
  const job = waiting.get(reply.id)
  waiting.delete(reply.id)
  if ("result" in reply) job?.resolve(reply.result as never)
  else job?.reject(revived(reply.error))
}

function revived({ message, code, stack }: CarriedError): Error {
  const error = code === undefined ? new Error(message) : new LaminaError(code, message)
  if (stack !== undefined) error.stack = stack
  return error
}
