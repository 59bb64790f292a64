import { LaminaError } from "@lamina/protocol/errors"

import type { JsonObject } from "../files/json.js"
import { mergesOfScores } from "./merges-of-scores.js"
import { Metadata } from "./metadata.js"
import type { MetadataSource } from "./metadata.js"
import { IGNORES_MERGES, NORMALIZERS, PRE_TOKENIZERS } from "./pre-tokenizers.js"

/** Of tokenizer.ggml.token_type. */
const UNKNOWN = 2
const CONTROL = 3
const USER_DEFINED = 4

const SPACE = "\u2581"
const TOKENS = "tokenizer.ggml.tokens"
const TYPES = "tokenizer.ggml.token_type"
const HINT =
  "put the tokenizer.json of the original checkpoint into the folder, beside the GGUF file, and name the folder"

/** What a model's tokens mean beyond their text. */
export interface SpecialTokens {
  readonly bosToken?: string
  readonly eosToken?: string
  /** Tokens that end an answer, the one that ends a document first; may be empty. */
  readonly eosIds: readonly number[]
  /** Whether a text begins with bosToken when the model reads it. */
  readonly addBos: boolean
}

/**
 * The tokenizer.json that transformers would have for a GGUF file: byte-level BPE (tokenizer.ggml.model gpt2), or
 * SentencePiece's BPE with byte fallback (llama), its merges rebuilt from the tokens' scores. TOKENIZER_MISSING,
 * TOKENIZER_MALFORMED, MODEL_CONFIG, MODEL_UNSUPPORTED with what to do.
 */
export function ggufTokenizer(file: MetadataSource): JsonObject {
  const metadata = new Metadata(file)
  const key = "tokenizer.ggml.model"
  const model = metadata.text(key)
  const tokens = metadata.texts(TOKENS)
  if (model === undefined || tokens === undefined)
    throw new LaminaError("TOKENIZER_MISSING", `${file.path}: expected ${key} and ${TOKENS}, found none`, {
      hint: HINT,
    })
  const types = metadata.numbers(TYPES) ?? []
  if (types.length > 0 && types.length !== tokens.length) throw metadata.invalid(TYPES, perToken(tokens))
  const vocab = vocabularyOf(file, tokens)
  const added = tokens.flatMap((content, id) => {
    const type = types[id]
    if (type !== CONTROL && type !== USER_DEFINED && type !== UNKNOWN) return []
    const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false }
    return [{ id, content, ...flags, special: type !== USER_DEFINED }]
  })
  const shared = { version: "1.0", truncation: null, padding: null, added_tokens: added }
  const post = { post_processor: beginning(metadata, tokens) }
  if (model === "gpt2") return { ...shared, ...byteLevel(metadata, vocab), ...post }
  if (model === "llama")
    return { ...shared, ...sentencePiece(metadata, { vocab, tokens, types, path: file.path }), ...post }
  throw metadata.unsupported(key, '"gpt2" or "llama"', HINT)
}

/** The special tokens of a GGUF file. MODEL_CONFIG. */
export function ggufSpecialTokens(file: MetadataSource): SpecialTokens {
  const metadata = new Metadata(file)
  const tokens = metadata.texts(TOKENS) ?? []
  const id = (name: string): number | undefined => idOf(metadata, name, tokens)
  const bos = id("bos")
  const eos = id("eos")
  // files made before eot_token_id name only the end of a document; llama.cpp finds the other by its text as well
  const turns = ["<|eot_id|>", "<|im_end|>"].map((text) => tokens.indexOf(text)).filter((found) => found >= 0)
  return {
    ...(bos === undefined ? {} : { bosToken: tokens[bos] ?? "" }),
    ...(eos === undefined ? {} : { eosToken: tokens[eos] ?? "" }),
    eosIds: [...new Set([eos, id("eot"), ...turns].filter((each) => each !== undefined))],
    addBos: bos !== undefined && addsBos(metadata),
  }
}

function idOf(metadata: Metadata, name: string, tokens: readonly string[]): number | undefined {
  const key = `tokenizer.ggml.${name}_token_id`
  const value = metadata.whole(key)
  if (value === undefined || value < tokens.length) return value
  throw metadata.invalid(key, `a token's id, below ${tokens.length}`)
}

function perToken(tokens: readonly string[]): string {
  return `a number for each of ${tokens.length} tokens`
}

/** llama.cpp's defaults where a file does not say. */
function addsBos(metadata: Metadata): boolean {
  const said = metadata.flag("tokenizer.ggml.add_bos_token")
  if (said !== undefined) return said
  if (metadata.text("tokenizer.ggml.model") === "llama") return true
  return IGNORES_MERGES.has(metadata.text("tokenizer.ggml.pre") ?? "")
}

function beginning(metadata: Metadata, tokens: readonly string[]): JsonObject | null {
  const bos = metadata.whole("tokenizer.ggml.bos_token_id")
  const token = tokens[bos ?? -1]
  if (bos === undefined || token === undefined || !addsBos(metadata)) return null
  const special = { SpecialToken: { id: token, type_id: 0 } }
  const text = (id: "A" | "B", type_id: number): JsonObject => ({ Sequence: { id, type_id } })
  return {
    type: "TemplateProcessing",
    single: [special, text("A", 0)],
    pair: [special, text("A", 0), { SpecialToken: { id: token, type_id: 1 } }, text("B", 1)],
    special_tokens: { [token]: { id: token, ids: [bos], tokens: [token] } },
  }
}

function vocabularyOf(file: MetadataSource, tokens: readonly string[]): Record<string, number> {
  const ids = new Map<string, number>()
  for (const [id, token] of tokens.entries()) {
    const other = ids.get(token)
    if (other !== undefined)
      throw new LaminaError(
        "TOKENIZER_MALFORMED",
        `${file.path}: metadata ${TOKENS}: expected every token once, got ${JSON.stringify(token.slice(0, 80))} ` +
          `as ${other} and ${id}`,
      )
    ids.set(token, id)
  }
  return Object.fromEntries(ids)
}

function byteLevel(metadata: Metadata, vocab: Readonly<Record<string, number>>): JsonObject {
  const key = "tokenizer.ggml.pre"
  const pre = metadata.text(key) ?? "default"
  const steps = Object.hasOwn(PRE_TOKENIZERS, pre) ? PRE_TOKENIZERS[pre] : undefined
  if (steps === undefined) throw metadata.unsupported(key, `one of ${Object.keys(PRE_TOKENIZERS).join(", ")}`, HINT)
  const merges = metadata.require(metadata.texts("tokenizer.ggml.merges"), "tokenizer.ggml.merges", "a list of text")
  return {
    normalizer: NORMALIZERS[pre] ?? null,
    pre_tokenizer: { type: "Sequence", pretokenizers: steps },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { ...bpe(vocab, merges), ignore_merges: IGNORES_MERGES.has(pre) },
  }
}

interface Pieces {
  readonly vocab: Readonly<Record<string, number>>
  readonly tokens: readonly string[]
  readonly types: readonly number[]
  readonly path: string
}

function sentencePiece(metadata: Metadata, { vocab, tokens, types, path }: Pieces): JsonObject {
  const key = "tokenizer.ggml.scores"
  const scores = metadata.numbers(key)
  if (scores?.length !== tokens.length) throw metadata.invalid(key, perToken(tokens))
  const prefix = metadata.flag("tokenizer.ggml.add_space_prefix") ?? true
  const unknown = tokens[idOf(metadata, "unknown", tokens) ?? types.indexOf(UNKNOWN)]
  const spaces = { type: "Replace", pattern: { String: " " }, content: SPACE }
  const back = { type: "Replace", pattern: { String: SPACE }, content: " " }
  const strip = { type: "Strip", content: " ", start: 1, stop: 0 }
  return {
    normalizer: { type: "Sequence", normalizers: [...(prefix ? [{ type: "Prepend", prepend: SPACE }] : []), spaces] },
    pre_tokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: [back, { type: "ByteFallback" }, { type: "Fuse" }, ...(prefix ? [strip] : [])],
    },
    model: {
      ...bpe(vocab, mergesOfScores(tokens, { scores, types, where: `${path}: metadata ${TOKENS}` })),
      ...{ unk_token: unknown ?? null, fuse_unk: true, byte_fallback: true },
    },
  }
}

function bpe(vocab: Readonly<Record<string, number>>, merges: readonly string[]): JsonObject {
  return {
    type: "BPE",
    ...{ dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null },
    ...{ fuse_unk: false, byte_fallback: false, ignore_merges: false },
    vocab,
    merges,
  }
}
