import type { JsonObject } from "../files/json.js"

/**
 * tokenizer.ggml.pre names how a text is cut before merges (llama-vocab.cpp); here as the pre-tokenizers of the
 * tokenizer.json that the original checkpoints come with.
 */

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const REST = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
const LLAMA3 = `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${REST}`
const QWEN2 = `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${REST}`
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false }
const words = { ...bytes, use_regex: true }
const digits = { type: "Digits", individual_digits: true }
const split = (regex: string): JsonObject => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior: "Isolated",
  invert: false,
})

/** By the name in the file. */
export const PRE_TOKENIZERS: Readonly<Record<string, readonly JsonObject[]>> = {
  default: [split("[\\p{P}\\$\\+<=>\\^~\\|]+"), split(GPT2), split("\\p{N}+"), split("[0-9][0-9][0-9]"), bytes],
  "gpt-2": [words],
  smollm: [digits, words],
  starcoder: [digits, words],
  refact: [digits, words],
  "llama-bpe": [split(LLAMA3), bytes],
  llama3: [split(LLAMA3), bytes],
  "llama-v3": [split(LLAMA3), bytes],
  qwen2: [split(QWEN2), bytes],
  "deepseek-r1-qwen": [split(QWEN2), bytes],
}

/** Whose tokenizer.json composes accents first. */
export const NORMALIZERS: Readonly<Record<string, JsonObject>> = { qwen2: { type: "NFC" } }

/** Llama 3's: a word that is a token is that token, whatever the merges say; a text begins with its bos token. */
export const IGNORES_MERGES: ReadonlySet<string> = new Set(["llama-bpe", "llama3", "llama-v3"])
