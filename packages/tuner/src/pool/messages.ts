import type { BackendName } from "@lamina/kernels"

import type {
  ChoiceJob,
  ChoiceResult,
  EvaluationJob,
  EvaluationResult,
  GeneratedToken,
  GenerationJob,
  GenerationResult,
  HeldOutScore,
  JobCount,
  TrainingJob,
  TrainingProgress,
  TrainingResult,
} from "../api.js"
import type { Failure } from "./failure.js"

/** What a worker is started with. */
export interface WorkerSetup {
  readonly backend: PoolBackend
  /** Threads of the native kernels called from this worker. */
  readonly threads: number
}

/** `native`: the C++ addon; the others run the reference kernels (docs/backends.md). */
export type PoolBackend = BackendName

/** A piece of work for one worker; a Base travels by its SharedArrayBuffers. */
export type Work =
  | { readonly kind: "train"; readonly job: TrainingJob }
  | { readonly kind: "evaluate"; readonly job: EvaluationJob }
  | { readonly kind: "generate"; readonly job: GenerationJob }
  | { readonly kind: "judge"; readonly job: ChoiceJob }
export type WorkResult = TrainingResult | EvaluationResult | GenerationResult | ChoiceResult

/** Pool -> worker. One piece of work at a time; `abort` means the current one. */
export type ToWorker = Work | { readonly kind: "abort" }

/** Worker -> pool. Exactly one of done, failed, aborted ends a piece of work. */
export type FromWorker =
  | { readonly kind: "progress"; readonly progress: TrainingProgress }
  | { readonly kind: "token"; readonly token: GeneratedToken }
  | { readonly kind: "count"; readonly count: JobCount }
  | { readonly kind: "heldOut"; readonly score: HeldOutScore }
  | { readonly kind: "note"; readonly note: string }
  | { readonly kind: "done"; readonly result: WorkResult }
  | { readonly kind: "failed"; readonly failure: Failure }
  | { readonly kind: "aborted" }
