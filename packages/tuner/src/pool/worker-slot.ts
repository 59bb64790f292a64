import { Worker } from "node:worker_threads"

import { LaminaError } from "@lamina/protocol/errors"

import type { JobOptions } from "../api.js"
import { errorOf } from "./failure.js"
import type { FromWorker, ToWorker, Work, WorkerSetup, WorkResult } from "./messages.js"

/** One worker thread with at most one piece of work. */
export interface WorkerSlot {
  readonly busy: boolean
  /** Rejects with the worker's error, the signal's reason, or INTERNAL when the thread dies. Only while not busy. */
  run(work: Work, options: JobOptions): Promise<WorkResult>
  /** Ends the thread; its work fails with `reason`. */
  stop(reason: Error): Promise<void>
}

interface Current {
  readonly options: JobOptions
  readonly resolve: (result: WorkResult) => void
  readonly reject: (reason: unknown) => void
}

/** Starts a thread; `onGone` is called once when it has ended, before its work is rejected. */
export function startWorker(setup: WorkerSetup, onGone: () => void): WorkerSlot {
  // A step makes few new objects; by default V8 would keep 48 MB for them.
  const resourceLimits = { maxYoungGenerationSizeMb: 16 }
  const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: setup, resourceLimits })
  let current: Current | undefined
  let death: Error | undefined

  function post(message: ToWorker): void {
    worker.postMessage(message)
  }

  function end(settle: (current: Current) => void): void {
    const ended = current
    current = undefined
    worker.unref()
    if (ended) settle(ended)
  }

  worker.unref()
  worker.on("message", (message: FromWorker) => {
    if (message.kind === "progress") current?.options.onProgress?.(message.progress)
    else if (message.kind === "token") current?.options.onToken?.(message.token)
    else if (message.kind === "count") current?.options.onCount?.(message.count)
    else if (message.kind === "heldOut") current?.options.onHeldOut?.(message.score)
    else if (message.kind === "note") current?.options.onNote?.(message.note)
    else if (message.kind === "done") end(({ resolve }) => resolve(message.result))
    else if (message.kind === "failed") end(({ reject }) => reject(errorOf(message.failure)))
    else end(({ options, reject }) => reject(options.signal?.reason))
  })
  worker.on("error", (cause) => {
    death = new LaminaError("INTERNAL", `a worker thread failed: ${cause.message}`, { cause })
  })
  worker.on("exit", (exitCode) => {
    onGone()
    end(({ reject }) =>
      reject(death ?? new LaminaError("INTERNAL", `a worker thread ended with exit code ${exitCode}`)),
    )
  })

  return {
    get busy() {
      return current !== undefined
    },
    run: (work, options) =>
      new Promise((resolve, reject) => {
        const abort = (): void => post({ kind: "abort" })
        const settled = (): void => options.signal?.removeEventListener("abort", abort)
        post(work) // first: a job that cannot be cloned throws here and leaves the worker free
        current = {
          options,
          resolve: (result) => (settled(), resolve(result)),
          reject: (reason) => (settled(), reject(reason as Error)),
        }
        options.signal?.addEventListener("abort", abort, { once: true })
        worker.ref()
      }),
    async stop(reason) {
      death = reason
      await worker.terminate()
    },
  }
}
