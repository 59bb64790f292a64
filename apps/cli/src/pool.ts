import { availableParallelism } from "node:os"

import { createTunerPool } from "@lamina/tuner"
import type { TunerPool } from "@lamina/tuner"

export type BackendChoice = "auto" | "native" | "cpu" | "wasm" | "tensorflow"

/**
 * `jobs` workers side by side share the machine's cores: many small jobs want one thread each, one job wants them
 * all.
 */
export function openPool(options: { workers?: number; threads?: number; backend: BackendChoice }): Promise<TunerPool> {
  const cores = availableParallelism()
  const workers = options.workers ?? 1
  const threads = options.threads ?? Math.max(1, Math.floor(cores / workers))
  return createTunerPool({ workers, threads, ...(options.backend === "auto" ? {} : { backend: options.backend }) })
}
