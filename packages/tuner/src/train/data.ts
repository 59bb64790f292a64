import type { JobOptions, TrainingJob } from "../api.js"
import { createBatches } from "../data/batches.js"
import type { TokenBatch } from "../data/batches.js"
import { prepareRows } from "../data/prepare.js"
import type { SpooledRows } from "../data/token-spool.js"
import { loadChatTemplate } from "../tokenizer/load-chat-template.js"
import { loadTokenizerOf } from "../tokenizer/load-tokenizer.js"

/** A job's data, tokenized and packed. */
export interface TrainingData {
  /** Tokens and documents of one pass over the data, what a recipe weighs by. */
  readonly tokens: number
  readonly examples: number
  /** Rows of one pass. */
  readonly rows: number
  /** Micro-batch `index` of the whole training, from 0; a pure function. */
  readonly microBatch: (index: number) => TokenBatch
  /** What makes two data sets the same. */
  readonly identity: string
  readonly heldOut?: SpooledRows
  /** Frees what lies on disk. */
  readonly close: () => void
}

/** Whoever calls closes the data. DATA_*, TOKENIZER_*, FILE_UNREADABLE, FILE_UNWRITABLE. */
export async function trainingData(
  { base, data, heldOut, settings }: TrainingJob,
  options: Pick<JobOptions, "signal" | "onNote"> = {},
): Promise<TrainingData> {
  const tokenizer = await loadTokenizerOf(base)
  const { context, lossOn } = settings
  const prepare = {
    ...{ tokenizer, context, lossOn, signal: options.signal },
    template: () => loadChatTemplate(base.folder),
  }
  const held = heldOut && (await prepareRows(heldOut.data, prepare))
  const rows = await prepareRows(data, { ...prepare, onNote: options.onNote }).catch((error: unknown) => {
    held?.close()
    throw error
  })
  return {
    ...{ tokens: rows.tokens, examples: rows.examples, rows: rows.length, identity: rows.identity },
    microBatch: createBatches({ rows, batch: settings.batch, seed: settings.seed }),
    ...(held ? { heldOut: held } : {}),
    close: () => {
      rows.close()
      held?.close()
    },
  }
}
