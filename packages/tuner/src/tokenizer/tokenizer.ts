/** Text to token ids and back, as the tokenizer.json of a base says; any object with this shape may stand in. */
export interface Tokenizer {
  /** Ids of `text` with nothing added; a special token written out in the text is that token. */
  encode(text: string): Int32Array
  /** Text of `ids`, special tokens included. */
  decode(ids: ArrayLike<number>): string
  /** One more than the highest id. */
  readonly vocabularySize: number
  /** The token that ends a document, where the folder names one. */
  readonly eosId?: number
}
