import type { TrainingSettings } from "../api.js"
import type { Tokenizer } from "../tokenizer/tokenizer.js"
import type { Document } from "./documents.js"

/** A tokenized document, or a window of one. */
export interface TokenDocument {
  /** (T) */
  readonly ids: Int32Array
  /** (T) 1 where a token counts in the loss; the first has nothing to be predicted from and never does. */
  readonly predicted: Uint8Array
}

/**
 * The segments of a document tokenized apart, so that a prompt has the ids it has when a model is asked it, and joined
 * with nothing between, the tokenizer's end token behind segments that end: an answer must be learned to end. With
 * `lossOn` "response" only what the document marks as predicted counts; with "all" every token.
 */
export function tokenizeDocument(
  document: Document,
  tokenizer: Tokenizer,
  { lossOn }: Pick<TrainingSettings, "lossOn">,
): TokenDocument {
  const parts = document.segments.map(({ text, predicted, ends }) => {
    const ids = tokenizer.encode(text)
    return { ids, predicted, end: ends ? tokenizer.eosId : undefined }
  })
  const length = parts.reduce((sum, { ids, end }) => sum + ids.length + (end === undefined ? 0 : 1), 0)
  const ids = new Int32Array(length)
  const predicted = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    ids.set(part.ids, at)
    const from = at
    at += part.ids.length
    if (part.end !== undefined) ids[at++] = part.end
    if (part.predicted || lossOn === "all") predicted.fill(1, from, at)
  }
  return { ids, predicted }
}
