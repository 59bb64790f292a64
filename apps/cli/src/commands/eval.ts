import type { EvaluationResult } from "@lamina/tuner"

import { dataSource } from "../data-source.js"
import { untilInterrupted } from "../interrupt.js"
import { openModel } from "../open-model.js"
import type { ModelOptions } from "../open-model.js"
import { printJson } from "../output/json.js"

interface EvalOptions extends ModelOptions {
  readonly data: string
  readonly json?: boolean
}

/** `lamina eval`: natural log, mean over predicted tokens; windows of the context length that do not overlap. */
export async function evalCommand(model: string, options: EvalOptions): Promise<void> {
  const data = dataSource([options.data])
  const { job, pool } = await openModel(model, options)
  try {
    print(await untilInterrupted((signal) => pool.evaluate({ ...job, data }, { signal })), options.json)
  } finally {
    await pool.close()
  }
}

function print({ loss, perplexity, tokens }: EvaluationResult, json: boolean | undefined): void {
  if (json) printJson({ loss, perplexity, tokens })
  else process.stdout.write(`loss ${loss.toFixed(4)}   perplexity ${perplexity.toFixed(2)}   ${tokens} tokens\n`)
}
