import { isJsonObject } from "../files/json.js"
import type { JsonObject } from "../files/json.js"

/**
 * @huggingface/tokenizers 0.2.0 gives the ids of the Rust library for every pattern it is handed as text, but spells
 * two pre-tokenizers out itself, with JavaScript's \s (takes U+FEFF, misses U+0085) and \d (ASCII only). Here they are
 * handed over as text; the vectors beside this file and test/vectors/model/tiny hold the difference. What stays: a
 * ByteLevel with add_prefix_space keeps JavaScript's \s, because the space is added before the split.
 */
const BYTE_LEVEL = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/** SentencePiece's mark of a space. */
const SPACE = "\u2581"

/**
 * The pre-tokenizer section of a tokenizer.json, reworded so that the library computes the same split, or computes it
 * faster.
 */
export function exactPreTokenizer(tokenizer: JsonObject): unknown {
  const exact = reword(tokenizer.pre_tokenizer)
  return isJsonObject(tokenizer.model) && splitsAtSpaces(exact, tokenizer.model)
    ? sequence([exact, split(`${SPACE}+[^${SPACE}]*|[^${SPACE}]+`)])
    : exact
}

function reword(step: unknown): unknown {
  if (!isJsonObject(step)) return step ?? null
  if (step.type === "Sequence" && Array.isArray(step.pretokenizers)) return sequence(step.pretokenizers.map(reword))
  if (step.type === "Digits") return split(step.individual_digits === true ? "\\p{N}" : "\\p{N}+")
  const splits = step.type === "ByteLevel" && step.use_regex !== false && step.add_prefix_space !== true
  return splits ? sequence([split(BYTE_LEVEL), { ...step, add_prefix_space: false, use_regex: false }]) : step
}

/**
 * Whether BPE may run on each word alone. Without a pre-tokenizer that splits, the library merges a whole document as
 * one word: 47 s for 2 MB. If no merge has a space mark on its right side behind anything but space marks, nothing is
 * ever joined across the border before a run of marks; merges on the two sides do not touch each other, so their order
 * on each side, and the result, stay the same.
 */
function splitsAtSpaces(step: unknown, model: JsonObject): boolean {
  const whole =
    step === null ||
    (isJsonObject(step) && step.type === "Metaspace" && step.split === false && (step.replacement ?? SPACE) === SPACE)
  const plain = model.ignore_merges !== true && !model.end_of_word_suffix && !model.continuing_subword_prefix
  if (!whole || !plain || !Array.isArray(model.merges)) return false
  return model.merges.every((merge: unknown) => {
    const [left, right] = typeof merge === "string" ? merge.split(" ", 2) : (merge as unknown[])
    return (
      typeof left === "string" &&
      typeof right === "string" &&
      (!right.startsWith(SPACE) || left.replaceAll(SPACE, "") === "")
    )
  })
}

function sequence(pretokenizers: readonly unknown[]): JsonObject {
  return { type: "Sequence", pretokenizers: pretokenizers.filter((step) => step !== null) }
}

function split(regex: string): JsonObject {
  return { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false }
}
