import { dataOfFiles } from "../data-options.js"
import { percent } from "../output/table.js"
import type { Evaluation, Outcome } from "./evaluation.js"

/** Natural log, mean over predicted tokens; windows of the context length that do not overlap. */
export async function perplexity({ model, options, signal, onCount }: Evaluation): Promise<Outcome> {
  const job = { ...model.job, data: dataOfFiles([options.data], options), lossOn: options.lossOn }
  const { loss, perplexity, accuracy, tokens } = await model.pool.evaluate(job, { signal, onCount })
  return {
    figures: { task: "perplexity", loss, perplexity, accuracy, tokens },
    line:
      `loss ${loss.toFixed(4)}   perplexity ${perplexity.toFixed(2)}   accuracy ${percent(accuracy, 1)}   ` +
      `${tokens} tokens`,
  }
}
