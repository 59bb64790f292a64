import type { DataSource, TrainingSettings } from "../api.js"
import type { Tokenizer } from "../tokenizer/tokenizer.js"
import { readDocuments } from "./documents.js"
import type { ReadOptions } from "./documents.js"
import { TokenSpool } from "./token-spool.js"
import type { SpooledRows } from "./token-spool.js"
import { tokenizeDocument } from "./tokens.js"

/** How a source becomes rows. */
interface PrepareOptions extends ReadOptions {
  readonly tokenizer: Tokenizer
  readonly context: number
  readonly lossOn: TrainingSettings["lossOn"]
  readonly signal?: AbortSignal
  /** Tokens held in memory before they go to disk; the default is 64 MiB of them. */
  readonly memoryTokens?: number
}

/**
 * Reads a source as a stream, tokenizes it and packs it into rows; whoever calls closes them. DATA_*, FILE_UNREADABLE,
 * FILE_UNWRITABLE; the signal's reason when aborted.
 */
export async function prepareRows(source: DataSource, options: PrepareOptions): Promise<SpooledRows> {
  const { tokenizer, context, lossOn, signal, memoryTokens } = options
  const spool = new TokenSpool({ context, ...(memoryTokens === undefined ? {} : { memoryTokens }) })
  try {
    for await (const document of readDocuments(source, options)) {
      signal?.throwIfAborted()
      spool.add(tokenizeDocument(document, tokenizer, { lossOn }), document.continues)
    }
    return spool.finish()
  } catch (error) {
    spool.close()
    throw error
  }
}
