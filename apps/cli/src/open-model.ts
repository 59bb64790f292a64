import type { Precision } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"
import { readPeftAdapter, sharedBase } from "@lamina/tuner"
import type { Base, BasePrecision, TunerPool } from "@lamina/tuner"

import { adapterPath, modelPath } from "./model-path.js"
import { openPool } from "./pool.js"
import type { BackendChoice } from "./pool.js"

/** Options of every command that runs a model (program/options.ts, addModelOptions). */
export interface ModelOptions {
  readonly adapter: readonly string[]
  readonly context?: number
  readonly precision: BasePrecision
  readonly compute: Precision
  readonly threads?: number
  readonly backend: BackendChoice
}

/** A model that is ready to run. */
export interface OpenModel {
  /** The part of every job that says what is run, and how. */
  readonly job: {
    readonly base: Base
    readonly adapters: readonly Adapter[]
    readonly context?: number
    readonly compute: Precision
  }
  readonly pool: TunerPool
}

/** Loads base and adapters, in the order given, and opens a pool that the caller closes. Codes of both. */
export async function openModel(model: string, options: ModelOptions): Promise<OpenModel> {
  const path = await modelPath(model)
  const adapters: Adapter[] = []
  for (const adapter of options.adapter) adapters.push(await readPeftAdapter(await adapterPath(adapter)))
  const base = await sharedBase(path, options.precision)
  const pool = await openPool({ backend: options.backend, ...(options.threads ? { threads: options.threads } : {}) })
  const context = options.context === undefined ? {} : { context: options.context }
  return { job: { base, adapters, compute: options.compute, ...context }, pool }
}
