import type { TrainingJob } from "../api.js"
import { createBatches } from "../data/batches.js"
import type { TokenBatch } from "../data/batches.js"
import { loadDocuments } from "../data/documents.js"
import { packRows } from "../data/rows.js"
import { countTokens, tokenizeDocuments } from "../data/tokens.js"
import { loadTokenizer } from "../tokenizer/load-tokenizer.js"

/** A job's data, tokenized and packed. */
export interface TrainingData {
  /** Tokens and documents of one pass over the data, what a recipe weighs by. */
  readonly tokens: number
  readonly examples: number
  /** Micro-batch `index` of the whole training, from 0; a pure function. */
  readonly microBatch: (index: number) => TokenBatch
  /** Ids, and first predicted token, of every document in order: what makes two data sets the same. */
  readonly identity: readonly Int32Array[]
}

/** DATA_*, TOKENIZER_*, FILE_UNREADABLE. */
export async function trainingData({ base, data, settings }: TrainingJob): Promise<TrainingData> {
  const tokenizer = await loadTokenizer(base.folder)
  const documents = tokenizeDocuments(await loadDocuments(data), tokenizer, settings)
  const rows = packRows(documents, settings)
  return {
    tokens: countTokens(documents),
    examples: documents.length,
    microBatch: createBatches({ rows, batch: settings.batch, seed: settings.seed }),
    identity: documents.flatMap(({ ids, lossFrom }) => [ids, Int32Array.of(lossFrom)]),
  }
}
