import { join } from "node:path"

import { hasErrorCode, LaminaError } from "@lamina/protocol/errors"

import { isJsonObject, parseJsonObject, showJson } from "../files/json.js"
import type { JsonObject } from "../files/json.js"
import { isThere, readBounded } from "../files/read-bounded.js"
import type { SpecialTokens } from "../gguf/gguf-tokenizer.js"

/** Ten times the largest tokenizer.json we know of. */
const TOKENIZER_BYTES_MAX = 200 * 2 ** 20

/** tokenizer.json of a folder. TOKENIZER_MISSING, TOKENIZER_MALFORMED, FILE_UNREADABLE. */
export async function readTokenizerJson(folder: string): Promise<JsonObject> {
  const path = join(folder, "tokenizer.json")
  return parseJsonObject(await readText(path), path, "TOKENIZER_MALFORMED")
}

/** A failure to read a tokenizer: undefined where the model has none, thrown again where it has one. */
export function noneWhereMissing(error: unknown): undefined {
  if (!hasErrorCode(error) || error.code !== "TOKENIZER_MISSING") throw error
}

/** Whether a folder has a tokenizer.json. */
export function hasTokenizerJson(folder: string): Promise<boolean> {
  return isThere(join(folder, "tokenizer.json"))
}

/**
 * What tokenizer_config.json, generation_config.json and config.json (where there) say of special tokens.
 * TOKENIZER_MALFORMED, FILE_UNREADABLE.
 */
export async function readSpecialTokens(
  folder: string,
  sources: { tokenizer: JsonObject; config: JsonObject | undefined },
): Promise<SpecialTokens> {
  const path = join(folder, "tokenizer_config.json")
  const settings = (await readOptional(path)) ?? {}
  const named = (key: "bos_token" | "eos_token"): { text: string; id: number } | undefined => {
    const stored = settings[key]
    if (stored === undefined || stored === null) return undefined
    const text = isJsonObject(stored) ? stored.content : stored
    const id = typeof text === "string" ? tokenId(sources.tokenizer, text) : undefined
    if (typeof text === "string" && id !== undefined) return { text, id }
    throw malformed(path, `${key}: expected a token of tokenizer.json, got ${showJson(text)}`)
  }
  const bos = named("bos_token")
  const eos = named("eos_token")
  const generation = join(folder, "generation_config.json")
  const eosIds = [
    ...(eos === undefined ? [] : [eos.id]),
    ...idsOf(await readOptional(generation), generation),
    ...idsOf(sources.config, join(folder, "config.json")),
  ]
  return {
    ...(bos === undefined ? {} : { bosToken: bos.text }),
    ...(eos === undefined ? {} : { eosToken: eos.text }),
    eosIds: [...new Set(eosIds)],
    addBos: bos !== undefined && beginsWith(sources.tokenizer, bos.text, settings.add_bos_token),
  }
}

/**
 * The chat template of a folder: chat_template.jinja, or the text (or the one named default) in tokenizer_config.json.
 * TOKENIZER_MALFORMED, FILE_UNREADABLE.
 */
export async function readChatTemplate(folder: string): Promise<string | undefined> {
  const own = join(folder, "chat_template.jinja")
  if (await isThere(own)) return readText(own)
  const path = join(folder, "tokenizer_config.json")
  const stored = (await readOptional(path))?.chat_template
  if (stored === undefined || stored === null) return undefined
  const named: unknown[] = Array.isArray(stored) ? stored : [{ name: "default", template: stored }]
  const found = named.find((each) => isJsonObject(each) && each.name === "default")
  const template = isJsonObject(found) ? found.template : undefined
  if (typeof template === "string") return template
  throw malformed(path, `chat_template: expected text or a list with one named default, got ${showJson(stored)}`)
}

function beginsWith(tokenizer: JsonObject, bos: string, said: unknown): boolean {
  if (typeof said === "boolean") return said
  const post = tokenizer.post_processor
  const steps: unknown[] = isJsonObject(post) && Array.isArray(post.processors) ? post.processors : [post]
  return steps.some((step) => {
    const single: unknown = isJsonObject(step) && Array.isArray(step.single) ? step.single[0] : undefined
    return isJsonObject(single) && isJsonObject(single.SpecialToken) && single.SpecialToken.id === bos
  })
}

function tokenId(tokenizer: JsonObject, text: string): number | undefined {
  const added: unknown[] = Array.isArray(tokenizer.added_tokens) ? tokenizer.added_tokens : []
  const found = added.find((token) => isJsonObject(token) && token.content === text)
  const vocab = isJsonObject(tokenizer.model) ? tokenizer.model.vocab : undefined
  const inVocabulary = isJsonObject(vocab) && Object.hasOwn(vocab, text) ? vocab[text] : undefined
  const id = isJsonObject(found) ? found.id : inVocabulary
  return typeof id === "number" ? id : undefined
}

function idsOf(config: JsonObject | undefined, path: string): number[] {
  const stored = config?.eos_token_id
  const ids: unknown[] = stored === undefined || stored === null ? [] : Array.isArray(stored) ? stored : [stored]
  if (!ids.every((id) => Number.isSafeInteger(id) && (id as number) >= 0))
    throw malformed(path, `eos_token_id: expected a token id or a list of them, got ${showJson(stored)}`)
  return ids as number[]
}

async function readOptional(path: string): Promise<JsonObject | undefined> {
  if (!(await isThere(path))) return undefined
  return parseJsonObject(await readText(path), path, "TOKENIZER_MALFORMED")
}

function readText(path: string): Promise<string> {
  return readBounded(path, {
    bytesMax: TOKENIZER_BYTES_MAX,
    missing: "TOKENIZER_MISSING",
    malformed: "TOKENIZER_MALFORMED",
  })
}

function malformed(path: string, message: string): LaminaError {
  return new LaminaError("TOKENIZER_MALFORMED", `${path}: ${message}`)
}
