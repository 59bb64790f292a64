import { LaminaError } from "@lamina/protocol/errors"

import type { ChoiceResult, EvaluationResult, GenerationResult, JobOptions, TrainingResult, TunerPool } from "../api.js"
import { chooseKernels } from "./choose-kernels.js"
import type { PoolBackend, Work, WorkerSetup, WorkResult } from "./messages.js"
import { startWorker } from "./worker-slot.js"
import type { WorkerSlot } from "./worker-slot.js"

export interface TunerPoolOptions {
  /** Jobs side by side; each has a thread of its own. */
  readonly workers: number
  /** Threads of the native kernels, for each worker. */
  readonly threads: number
  /** Default: `native` where the addon loads, else `cpu`. */
  readonly backend?: PoolBackend
}

interface Waiting {
  readonly work: Work
  readonly options: JobOptions
  readonly resolve: (result: WorkResult) => void
  readonly reject: (reason: unknown) => void
  /** Listens to the job's signal while it waits. */
  readonly abort: () => void
}

/**
 * Worker threads that train, evaluate and generate; this thread's event loop stays free. Jobs wait in the order they
 * came. The kernels are chosen once, here. A worker that dies fails its own job with INTERNAL and is replaced. Idle
 * workers do not keep the process alive. Codes: KERNEL_UNAVAILABLE when `backend` is "native" and the addon does not
 * load, USAGE for counts below 1, and those of the jobs.
 */
export async function createTunerPool(options: TunerPoolOptions): Promise<TunerPool> {
  for (const key of ["workers", "threads"] as const)
    if (!Number.isInteger(options[key]) || options[key] < 1)
      throw new LaminaError("USAGE", `${key}: expected a whole number of at least 1, got ${options[key]}`)
  const { backend, kernels } = chooseKernels(options.backend)
  return new WorkerPool(options.workers, { backend, threads: options.threads }, kernels)
}

class WorkerPool implements TunerPool {
  readonly kernels: string
  readonly #setup: WorkerSetup
  readonly #size: number
  readonly #workers = new Set<WorkerSlot>()
  readonly #waiting: Waiting[] = []
  #closed = false

  constructor(size: number, setup: WorkerSetup, kernels: string) {
    this.#size = size
    this.#setup = setup
    this.kernels = kernels
  }

  train(job: Extract<Work, { kind: "train" }>["job"], options: JobOptions = {}): Promise<TrainingResult> {
    return this.#enqueue({ kind: "train", job }, options) as Promise<TrainingResult>
  }

  evaluate(job: Extract<Work, { kind: "evaluate" }>["job"], options: JobOptions = {}): Promise<EvaluationResult> {
    return this.#enqueue({ kind: "evaluate", job }, options) as Promise<EvaluationResult>
  }

  generate(job: Extract<Work, { kind: "generate" }>["job"], options: JobOptions = {}): Promise<GenerationResult> {
    return this.#enqueue({ kind: "generate", job }, options) as Promise<GenerationResult>
  }

  judge(job: Extract<Work, { kind: "judge" }>["job"], options: JobOptions = {}): Promise<ChoiceResult> {
    return this.#enqueue({ kind: "judge", job }, options) as Promise<ChoiceResult>
  }

  /** Jobs that have not ended fail with INTERNAL; a checkpoint on disk stays good. */
  async close(): Promise<void> {
    this.#closed = true
    for (const waiting of this.#waiting.splice(0)) waiting.reject(closedError())
    await Promise.all([...this.#workers].map((worker) => worker.stop(closedError())))
  }

  #enqueue(work: Work, options: JobOptions): Promise<WorkResult> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(closedError())
      if (options.signal?.aborted) return reject(options.signal.reason as Error)
      const waiting: Waiting = { work, options, resolve, reject, abort: () => this.#leaveQueue(waiting) }
      this.#waiting.push(waiting)
      options.signal?.addEventListener("abort", waiting.abort, { once: true })
      this.#dispatch()
    })
  }

  #leaveQueue(waiting: Waiting): void {
    const index = this.#waiting.indexOf(waiting)
    if (index < 0) return
    this.#waiting.splice(index, 1)
    waiting.reject(waiting.options.signal?.reason)
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const worker = this.#freeWorker()
      if (worker === undefined) return
      const { work, options, resolve, reject, abort } = this.#waiting.shift() as Waiting
      options.signal?.removeEventListener("abort", abort) // from here on the worker listens
      void worker
        .run(work, options)
        .then(resolve, reject)
        .finally(() => this.#dispatch())
    }
  }

  #freeWorker(): WorkerSlot | undefined {
    for (const worker of this.#workers) if (!worker.busy) return worker
    if (this.#workers.size >= this.#size || this.#closed) return undefined
    const worker = startWorker(this.#setup, () => this.#workers.delete(worker))
    this.#workers.add(worker)
    return worker
  }
}

function closedError(): LaminaError {
  return new LaminaError("INTERNAL", "the pool was closed before the job ended")
}
