import { setImmediate } from "node:timers/promises"

import { LaminaError } from "@lamina/protocol/errors"
import * as tf from "@tensorflow/tfjs-core"

import type { EvaluationJob, EvaluationResult, JobOptions } from "../api.js"
import { joinRows } from "../data/batches.js"
import { loadDocuments } from "../data/documents.js"
import { packRows } from "../data/rows.js"
import { tokenizeDocuments } from "../data/tokens.js"
import { createLlama, lossOf } from "../model/llama.js"
import { loadTokenizer } from "../tokenizer/load-tokenizer.js"

/**
 * Tokens of one forward pass: long enough that products are large, short enough that activations stay in tens of
 * megabytes.
 */
const PASS_TOKENS = 2_048

/**
 * Loss and perplexity of the job's data under base and adapters: every document is tokenized as it is, nothing added,
 * and cut into windows of `context` tokens that do not overlap; the first token of a window is not predicted. A prompt
 * is scored like the rest. Windows share forward passes as segments, which changes no figure. Codes: DATA_*,
 * TOKENIZER_*, ADAPTER_MISMATCH, RECIPE_INVALID, KERNEL_*.
 */
export async function evaluate(
  job: EvaluationJob,
  options: Pick<JobOptions, "signal" | "onCount"> = {},
): Promise<EvaluationResult> {
  const { base, adapters = [], compute: precision = "f32" } = job
  const context = job.context ?? base.config.context
  if (!Number.isInteger(context) || context < 2 || context > base.config.context)
    throw new LaminaError(
      "RECIPE_INVALID",
      `context: expected 2..${base.config.context}, the model's context, got ${context}`,
    )
  const tokenizer = await loadTokenizer(base.folder)
  const documents = tokenizeDocuments(await loadDocuments(job.data), tokenizer, { lossOn: "all" })
  const rows = packRows(documents, { context })
  const model = createLlama(base, { adapters, precision, positions: context })
  const rowsPerPass = Math.max(1, Math.floor(PASS_TOKENS / context))
  let nats = 0
  let tokens = 0
  for (let first = 0; first < rows.length; first += rowsPerPass) {
    options.signal?.throwIfAborted()
    const batch = joinRows(rows.slice(first, first + rowsPerPass))
    const mean = tf.tidy(() => lossOf(model, batch).dataSync()[0] as number)
    nats += mean * batch.predicted
    tokens += batch.predicted
    options.onCount?.({ done: Math.min(rows.length, first + rowsPerPass), total: rows.length })
    await setImmediate() // an abort arrives as a message, and messages wait for the thread
  }
  const loss = nats / tokens
  return { loss, perplexity: Math.exp(loss), tokens }
}
