import type { DataFields } from "../api.js"
import { isJsonObject, showJson } from "../files/json.js"
import type { ChatMessage } from "../tokenizer/chat-template.js"

/** A row of a table or a JSON object. */
type Row = Readonly<Record<string, unknown>>

/** What a row says, before it is known how a model wants it. */
export type RowContent =
  | { readonly kind: "text"; readonly text: string; readonly continues?: true }
  | { readonly kind: "pair"; readonly prompt: string; readonly response: string }
  | { readonly kind: "chat"; readonly messages: readonly ChatMessage[] }

/** Names tried, in this order, where a source names no columns. */
const PAIRS = [
  { prompt: "prompt", response: "response" },
  { prompt: "prompt", response: "completion" },
] as const

/** What ShareGPT calls the roles. */
const SHAREGPT_ROLES: Readonly<Record<string, string>> = { human: "user", gpt: "assistant", bing: "assistant" }

/** What a row may be, for messages. */
const KNOWN =
  "text, messages, conversations, prompt and response, prompt and completion, or instruction (and input) and output"

/**
 * What a row holds; a string says what is wrong with it. With `fields`: `text`, or `messages`, or `prompt` and
 * `response`. Without: `text`; `messages` (role and content) or `conversations` (from and value, as ShareGPT has them);
 * `prompt` and `response` or `completion`, put together as they are; or `instruction`, `input` where it is not empty,
 * and `output`, each parted from the next by an empty line (the columns of Alpaca).
 */
export function contentOf(row: Row, fields: DataFields | undefined): RowContent | string {
  if (fields?.text !== undefined)
    return fields.prompt || fields.response || fields.messages ? onlyOne : textOf(row, fields.text)
  if (fields?.messages !== undefined) return fields.prompt || fields.response ? onlyOne : chatOf(row, fields.messages)
  if (fields?.prompt !== undefined || fields?.response !== undefined) {
    if (fields.prompt === undefined || fields.response === undefined)
      return "fields: expected prompt and response together"
    return pairOf(row, { prompt: fields.prompt, response: fields.response })
  }
  if (has(row, "text")) return textOf(row, "text")
  for (const name of ["messages", "conversations"]) if (has(row, name)) return chatOf(row, name)
  for (const pair of PAIRS) if (has(row, pair.prompt) && has(row, pair.response)) return pairOf(row, pair)
  if (isInstruction(row)) {
    const pair = instructionOf(row)
    return typeof pair === "string" ? pair : { kind: "pair", prompt: pair.prompt, response: pair.response }
  }
  const got = Object.keys(row).slice(0, 8).map(showJson).join(", ")
  return `expected ${KNOWN}, got ${got === "" ? "no field" : got}`
}

const onlyOne = "fields: expected either text, or messages, or prompt and response"

function textOf(row: Row, name: string): RowContent | string {
  const text = row[name]
  return typeof text === "string" ? { kind: "text", text } : wrong(name, text)
}

function pairOf(row: Row, names: { prompt: string; response: string }): RowContent | string {
  const prompt = row[names.prompt]
  const response = row[names.response]
  if (typeof prompt !== "string") return wrong(names.prompt, prompt)
  return typeof response === "string" ? { kind: "pair", prompt, response } : wrong(names.response, response)
}

/** Whether a row has the columns of Alpaca. */
export function isInstruction(row: Row): boolean {
  return has(row, "instruction") && has(row, "output")
}

/** What a row asks in the columns of Alpaca; `input` is empty where it has none. */
interface Instruction {
  readonly instruction: string
  readonly input: string
  /** Both, each with an empty line behind it. */
  readonly prompt: string
}

/** The prompt of a row with the columns of Alpaca; a string says what is wrong with it. */
export function instructionPrompt({ instruction, input }: Row): Instruction | string {
  if (typeof instruction !== "string") return wrong("instruction", instruction)
  if (input !== undefined && input !== null && typeof input !== "string") return wrong("input", input)
  const prompt = `${instruction}\n\n${input ? `${input}\n\n` : ""}`
  return { instruction, input: input ?? "", prompt }
}

/** `instructionPrompt` with the answer. */
export function instructionOf(row: Row): (Instruction & { readonly response: string }) | string {
  const prompt = instructionPrompt(row)
  if (typeof prompt === "string") return prompt
  return typeof row.output === "string" ? { ...prompt, response: row.output } : wrong("output", row.output)
}

function chatOf(row: Row, name: string): RowContent | string {
  const list = row[name]
  if (!Array.isArray(list)) return wrong(name, list, "a list of messages")
  const messages: ChatMessage[] = []
  for (const [index, entry] of list.entries()) {
    const message = isJsonObject(entry) ? messageOf(entry) : undefined
    if (message === undefined)
      return `field ${showJson(name)}[${index}]: expected role and content (or from and value) as text`
    messages.push(message)
  }
  if (!messages.some(({ role }) => role === "assistant"))
    return `field ${showJson(name)}: expected at least one message of the assistant, got ${messages.length} without`
  return { kind: "chat", messages }
}

function messageOf(entry: Row): ChatMessage | undefined {
  const from = has(entry, "role") ? entry.role : entry.from
  const said = has(entry, "content") ? entry.content : entry.value
  const content = Array.isArray(said) ? joinedParts(said) : said
  if (typeof from !== "string" || typeof content !== "string") return undefined
  return { role: (Object.hasOwn(SHAREGPT_ROLES, from) ? SHAREGPT_ROLES[from] : undefined) ?? from, content }
}

/** Content as a list of text parts; undefined when one is a picture or sound. */
function joinedParts(parts: readonly unknown[]): string | undefined {
  const texts = parts.map((part) => (isJsonObject(part) && typeof part.text === "string" ? part.text : undefined))
  return texts.includes(undefined) ? undefined : texts.join("")
}

function wrong(name: string, value: unknown, expected = "text"): string {
  const kind = value === undefined ? "nothing" : typeof value // never the value itself: it is a client's data
  return `field ${showJson(name)}: expected ${expected}, got ${kind}`
}

function has(row: Row, name: string): boolean {
  return Object.hasOwn(row, name)
}
