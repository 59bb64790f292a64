import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers"
import { LaminaError } from "@lamina/protocol/errors"

import type { Base } from "../api.js"
import { isJsonObject, showJson } from "../files/json.js"
import type { JsonObject } from "../files/json.js"
import { openModelFiles } from "../weights/model-files.js"
import { exactPreTokenizer } from "./pre-tokenizer.js"
import type { Tokenizer } from "./tokenizer.js"

/** As many rows as an embedding may have. */
const VOCABULARY_MAX = 2 ** 20

/** What we use of @huggingface/tokenizers; its own types do not resolve under NodeNext. */
interface Library {
  encode(text: string, options: { add_special_tokens: false }): { ids: (number | undefined)[] }
  decode(ids: number[], options: { skip_special_tokens: false; clean_up_tokenization_spaces: false }): string
}

/**
 * The tokenizer of a model's folder or GGUF file (`openModelFiles`): a BPE model, as tokenizer.json describes it. Ids
 * are those of the Rust tokenizers. TOKENIZER_MISSING, TOKENIZER_MALFORMED, MODEL_UNSUPPORTED naming the feature,
 * FILE_UNREADABLE, and MODEL_CONFIG where config.json is there but does not parse.
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  const files = await openModelFiles(path)
  try {
    const json = await files.tokenizer()
    refuseUnsupported(json, files.path)
    const vocabularySize = checkVocabulary(json, files.path)
    const library = createLibrary(json, files.path)
    const { eosIds } = await files.specialTokens()
    const [eosId] = eosIds
    const bad = eosIds.find((id) => id >= vocabularySize)
    if (bad !== undefined)
      throw malformed(files.path, `eos_token_id: expected an id below ${vocabularySize}, got ${bad}`)
    return {
      encode: (text) => toIds(library.encode(text, { add_special_tokens: false }).ids, files.path),
      decode: (ids) => decode(library, ids, vocabularySize),
      vocabularySize,
      ...(eosId === undefined ? {} : { eosId }),
    }
  } finally {
    await files.close()
  }
}

/**
 * The tokenizer of a base that is to compute with its ids: each has a row of the embedding (rows without an id are
 * padding). Codes as loadTokenizer, TOKENIZER_MALFORMED for more ids than rows.
 */
export async function loadTokenizerOf({ folder, config }: Pick<Base, "folder" | "config">): Promise<Tokenizer> {
  const tokenizer = await loadTokenizer(folder)
  const { vocabularySize } = tokenizer
  if (vocabularySize <= config.vocabulary) return tokenizer
  const last = showJson(tokenizer.decode([vocabularySize - 1]))
  const message = `expected at most ${config.vocabulary} ids, one for each row of the embedding, got ${vocabularySize}`
  throw new LaminaError("TOKENIZER_MALFORMED", `${folder}: ${message}, the last one ${last}`, {
    hint: "take the tokenizer that the weights were trained with",
  })
}

function decode(library: Library, ids: ArrayLike<number>, vocabularySize: number): string {
  const list = Array.from(ids)
  const bad = list.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize)
  if (bad !== undefined) throw new RangeError(`token id: expected 0 to ${vocabularySize - 1}, got ${bad}`)
  if (list.length === 0) return ""
  return library.decode(list, { skip_special_tokens: false, clean_up_tokenization_spaces: false })
}

function toIds(ids: readonly (number | undefined)[], path: string): Int32Array {
  return Int32Array.from(ids, (id) => {
    if (id === undefined) throw malformed(path, "a token of the text has no id and the model names no unknown token")
    return id
  })
}

function createLibrary(json: JsonObject, path: string): Library {
  const sections = {
    normalizer: null,
    post_processor: null,
    decoder: null,
    ...json,
    added_tokens: json.added_tokens ?? [],
  }
  try {
    return new LibraryTokenizer({ ...sections, pre_tokenizer: exactPreTokenizer(json) }, {}) as unknown as Library
  } catch (cause) {
    throw new LaminaError("TOKENIZER_MALFORMED", `${path}: ${(cause as Error).message.slice(0, 200)}`, { cause })
  }
}

/** What the library does not compute, or not as the Rust one does. */
function refuseUnsupported(json: JsonObject, path: string): void {
  const { model, added_tokens: added } = json
  if (!isJsonObject(model)) throw malformed(path, `model: expected an object, got ${showJson(model)}`)
  const refuse = (key: string, expected: string, got: unknown): never => {
    throw new LaminaError("MODEL_UNSUPPORTED", `${path}: ${key}: expected ${expected}, got ${showJson(got)}`)
  }
  if (model.type !== "BPE") refuse("model.type", '"BPE"', model.type)
  if (typeof model.dropout === "number" && model.dropout !== 0) refuse("model.dropout", "null", model.dropout)
  if (Array.isArray(added) && added.some((token) => isJsonObject(token) && token.single_word === true))
    refuse("added_tokens", "none with single_word", true)
}

/** Number of ids; each is a whole number in bounds. */
function checkVocabulary(json: JsonObject, path: string): number {
  const { vocab, merges } = json.model as JsonObject
  if (!isJsonObject(vocab)) throw malformed(path, `model.vocab: expected an object, got ${showJson(vocab)}`)
  if (!Array.isArray(merges)) throw malformed(path, `model.merges: expected a list, got ${showJson(merges)}`)
  const added = json.added_tokens ?? []
  if (!Array.isArray(added)) throw malformed(path, `added_tokens: expected a list, got ${showJson(added)}`)
  let size = 0
  const count = (id: unknown, where: string): void => {
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= VOCABULARY_MAX)
      throw malformed(path, `${where}: expected an id from 0 to ${VOCABULARY_MAX - 1}, got ${showJson(id)}`)
    size = Math.max(size, (id as number) + 1)
  }
  for (const [token, id] of Object.entries(vocab)) count(id, `model.vocab[${showJson(token)}]`)
  for (const [index, token] of added.entries()) {
    if (!isJsonObject(token) || typeof token.content !== "string" || token.content === "")
      throw malformed(path, `added_tokens[${index}].content: expected text, got ${showJson(token)}`)
    count(token.id, `added_tokens[${index}].id`)
  }
  if (size === 0) throw malformed(path, "model.vocab: expected at least one token, got none")
  return size
}

function malformed(path: string, message: string): LaminaError {
  return new LaminaError("TOKENIZER_MALFORMED", `${path}: ${message}`)
}
