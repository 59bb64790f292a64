import { LaminaError } from "@lamina/protocol/errors"

import type { EvaluationJob, EvaluationResult, JobOptions } from "../api.js"
import { prepareRows } from "../data/prepare.js"
import { createDecoder } from "../model/decoder.js"
import { loadChatTemplate } from "../tokenizer/load-chat-template.js"
import { loadTokenizerOf } from "../tokenizer/load-tokenizer.js"
import { scoreRows } from "./score-rows.js"

/**
 * Loss and perplexity of the job's data under base and adapters: every document is tokenized as it is, nothing added,
 * and cut into windows of `context` tokens that do not overlap; the first token of a window is not predicted. A prompt
 * is scored like the rest unless `lossOn` is "response". Codes: DATA_*, TOKENIZER_*, ADAPTER_MISMATCH, RECIPE_INVALID,
 * KERNEL_*.
 */
export async function evaluate(
  job: EvaluationJob,
  options: Pick<JobOptions, "signal" | "onCount" | "onNote"> = {},
): Promise<EvaluationResult> {
  const { base, adapters = [], compute: precision = "f32", lossOn = "all" } = job
  const context = job.context ?? base.config.context
  if (!Number.isInteger(context) || context < 2 || context > base.config.context)
    throw new LaminaError(
      "RECIPE_INVALID",
      `context: expected 2..${base.config.context}, the model's context, got ${context}`,
    )
  const tokenizer = await loadTokenizerOf(base)
  const { signal, onNote } = options
  const template = (): ReturnType<typeof loadChatTemplate> => loadChatTemplate(base.folder)
  const rows = await prepareRows(job.data, { tokenizer, context, lossOn, template, signal, onNote })
  try {
    const model = createDecoder(base, { adapters, precision, positions: context })
    return await scoreRows(model, { rows, context }, options)
  } finally {
    rows.close()
  }
}
