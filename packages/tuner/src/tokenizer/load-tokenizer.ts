import { stat } from "node:fs/promises"
import { join } from "node:path"

import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers"
import { LaminaError } from "@lamina/protocol/errors"

import { isJsonObject, parseJsonObject, showJson } from "../files/json.js"
import type { JsonObject } from "../files/json.js"
import { readBounded } from "../files/read-bounded.js"
import { readCheckpointConfig } from "../weights/model-config.js"
import { exactPreTokenizer } from "./pre-tokenizer.js"
import type { Tokenizer } from "./tokenizer.js"

/** Ten times the largest tokenizer.json we know of. */
const TOKENIZER_BYTES_MAX = 200 * 2 ** 20
/** As many rows as an embedding may have. */
const VOCABULARY_MAX = 2 ** 20

/** What we use of @huggingface/tokenizers; its own types do not resolve under NodeNext. */
interface Library {
  encode(text: string, options: { add_special_tokens: false }): { ids: (number | undefined)[] }
  decode(ids: number[], options: { skip_special_tokens: false; clean_up_tokenization_spaces: false }): string
  token_to_id(token: string): number | undefined
}

/**
 * The tokenizer of a base folder: tokenizer.json with a BPE model; tokenizer_config.json or config.json name the end
 * token. Ids are those of the Rust tokenizers. TOKENIZER_MISSING, TOKENIZER_MALFORMED, MODEL_UNSUPPORTED naming the
 * feature, FILE_UNREADABLE, and MODEL_CONFIG where config.json is there but does not parse.
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const path = join(folder, "tokenizer.json")
  const json = parseJsonObject(await readText(path), path, "TOKENIZER_MALFORMED")
  refuseUnsupported(json, path)
  const vocabularySize = checkVocabulary(json, path)
  const library = createLibrary(json, path)
  const eosId = (await namedEos(folder, library)) ?? (await configuredEos(folder))
  if (eosId !== undefined && eosId >= vocabularySize)
    throw malformed(path, `expected the end token's id below ${vocabularySize}, got ${eosId} from config.json`)
  return {
    encode: (text) => toIds(library.encode(text, { add_special_tokens: false }).ids, path),
    decode: (ids) => decode(library, ids, vocabularySize),
    vocabularySize,
    ...(eosId === undefined ? {} : { eosId }),
  }
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

/** The id of `eos_token` in tokenizer_config.json, a string or an object with `content`. */
async function namedEos(folder: string, library: Library): Promise<number | undefined> {
  const path = join(folder, "tokenizer_config.json")
  if (!(await exists(path))) return undefined
  const { eos_token: stored } = parseJsonObject(await readText(path), path, "TOKENIZER_MALFORMED")
  if (stored === undefined || stored === null) return undefined
  const token = isJsonObject(stored) ? stored.content : stored
  const id = typeof token === "string" ? library.token_to_id(token) : undefined
  if (id === undefined) throw malformed(path, `eos_token: expected a token of tokenizer.json, got ${showJson(token)}`)
  return id
}

async function configuredEos(folder: string): Promise<number | undefined> {
  if (!(await exists(join(folder, "config.json")))) return undefined
  return (await readCheckpointConfig(folder)).eosIds[0]
}

function readText(path: string): Promise<string> {
  return readBounded(path, {
    bytesMax: TOKENIZER_BYTES_MAX,
    missing: "TOKENIZER_MISSING",
    malformed: "TOKENIZER_MALFORMED",
  })
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined // what is there and unreadable fails when it is read
}

function malformed(path: string, message: string): LaminaError {
  return new LaminaError("TOKENIZER_MALFORMED", `${path}: ${message}`)
}
