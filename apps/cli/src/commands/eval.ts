import { sharedBase, readPeftAdapter } from "@lamina/tuner"
import type { BasePrecision, EvaluationResult } from "@lamina/tuner"

import { dataSource } from "../data-source.js"
import { modelPath } from "../model-path.js"
import { printJson } from "../output/json.js"
import { openPool } from "../pool.js"
import type { BackendChoice } from "../pool.js"
import { untilInterrupted } from "../interrupt.js"

interface EvalOptions {
  readonly data: string
  readonly adapter?: string
  readonly context?: number
  readonly precision: BasePrecision
  readonly compute: "f32" | "bf16"
  readonly threads?: number
  readonly backend: BackendChoice
  readonly json?: boolean
}

/** `lamina eval`: natural log, mean over predicted tokens; windows of the context length that do not overlap. */
export async function evalCommand(model: string, options: EvalOptions): Promise<void> {
  const data = dataSource([options.data])
  const base = await sharedBase(await modelPath(model), options.precision)
  const adapters = options.adapter === undefined ? [] : [await readPeftAdapter(options.adapter)]
  const pool = await openPool({ backend: options.backend, ...(options.threads ? { threads: options.threads } : {}) })
  try {
    const context = options.context === undefined ? {} : { context: options.context }
    const job = { base, adapters, data, compute: options.compute, ...context }
    print(await untilInterrupted((signal) => pool.evaluate(job, { signal })), options.json)
  } finally {
    await pool.close()
  }
}

function print({ loss, perplexity, tokens }: EvaluationResult, json: boolean | undefined): void {
  if (json) printJson({ loss, perplexity, tokens })
  else process.stdout.write(`loss ${loss.toFixed(4)}   perplexity ${perplexity.toFixed(2)}   ${tokens} tokens\n`)
}
