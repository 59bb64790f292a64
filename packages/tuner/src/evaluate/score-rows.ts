import { setImmediate } from "node:timers/promises"

import * as tf from "@tensorflow/tfjs-core"

import type { EvaluationResult, JobOptions } from "../api.js"
import { joinRows } from "../data/batches.js"
import type { Row, RowSource } from "../data/rows.js"
import { scoresOf } from "../model/decoder.js"
import type { Decoder } from "../model/decoder.js"

/**
 * Tokens of one forward pass: long enough that products are large, short enough that activations stay in tens of
 * megabytes.
 */
const PASS_TOKENS = 2_048

/**
 * Mean loss and accuracy over the predicted tokens of `rows`, each of at most `context` tokens. Rows share forward
 * passes as segments, which changes no figure. Rejects with the signal's reason when aborted.
 */
export async function scoreRows(
  model: Decoder,
  { rows, context }: { rows: RowSource; context: number },
  options: Pick<JobOptions, "signal" | "onCount"> = {},
): Promise<EvaluationResult> {
  const rowsPerPass = Math.max(1, Math.floor(PASS_TOKENS / context))
  let nats = 0
  let right = 0
  let tokens = 0
  for (let first = 0; first < rows.length; first += rowsPerPass) {
    options.signal?.throwIfAborted()
    const count = Math.min(rowsPerPass, rows.length - first)
    const batch = joinRows(Array.from({ length: count }, (_, i) => rows.at(first + i) as Row))
    const [loss, accuracy] = tf.tidy(() => {
      const scores = scoresOf(model, batch)
      return [scores.loss, scores.accuracy].map((score) => score.dataSync()[0] as number) as [number, number]
    })
    nats += loss * batch.predicted
    right += accuracy * batch.predicted
    tokens += batch.predicted
    options.onCount?.({ done: first + count, total: rows.length })
    await setImmediate() // an abort arrives as a message, and messages wait for the thread
  }
  const loss = nats / tokens
  return { loss, perplexity: Math.exp(loss), accuracy: Math.round(right) / tokens, tokens }
}
