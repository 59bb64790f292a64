import type { TrainingSettings } from "../api.js"
import type { Tokenizer } from "../tokenizer/tokenizer.js"
import type { Document } from "./documents.js"

/** A tokenized document, or a window of one. */
export interface TokenDocument {
  readonly ids: Int32Array
  /** Token i counts in the loss iff i >= lossFrom and i > 0 (the first token has nothing to be predicted from). */
  readonly lossFrom: number
}

/**
 * Prompt and text are tokenized apart, so that a prompt has the ids it has when a model is asked it, and joined with
 * nothing between. A document with a prompt ends with the tokenizer's end token where there is one: a response must be
 * learned to end. With `lossOn` "response" the prompt's tokens are not predicted; a document without a prompt is all
 * response.
 */
export function tokenizeDocuments(
  documents: readonly Document[],
  tokenizer: Tokenizer,
  options: Pick<TrainingSettings, "lossOn">,
): TokenDocument[] {
  return documents.map(({ prompt, text }) => {
    const response = tokenizer.encode(text)
    if (prompt === undefined) return { ids: response, lossFrom: 0 }
    const asked = tokenizer.encode(prompt)
    const end = tokenizer.eosId === undefined ? [] : [tokenizer.eosId]
    const ids = new Int32Array(asked.length + response.length + end.length)
    ids.set(asked)
    ids.set(response, asked.length)
    ids.set(end, asked.length + response.length)
    return { ids, lossFrom: options.lossOn === "response" ? asked.length : 0 }
  })
}

/** Tokens of all documents together, predicted or not. */
export function countTokens(documents: readonly TokenDocument[]): number {
  return documents.reduce((sum, { ids }) => sum + ids.length, 0)
}
