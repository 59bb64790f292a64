import type { DataFields } from "../api.js"
import { showJson } from "../files/json.js"
import type { Document } from "./documents.js"

/** A row of a table or a JSON object. */
type Row = Readonly<Record<string, unknown>>

/** Names tried, in this order, where a source names no columns. */
const PAIRS = [
  { prompt: "prompt", response: "response" },
  { prompt: "prompt", response: "completion" },
] as const

/** What a row may be, for messages. */
const KNOWN = "text, prompt and response, prompt and completion, or instruction (and input) and output"

/**
 * The document of a row; a string says what is wrong with it. With `fields`, `text` alone or `prompt` and `response`.
 * Without: `text`; `prompt` and `response` or `completion`, put together as they are; or `instruction`, `input` where
 * it is not empty, and `output`, each parted from the next by an empty line (the columns of Alpaca).
 */
export function documentOf(row: Row, fields: DataFields | undefined): Document | string {
  if (fields?.text !== undefined) return fields.prompt || fields.response ? onlyOne : textOf(row, fields.text)
  if (fields?.prompt !== undefined || fields?.response !== undefined) {
    if (fields.prompt === undefined || fields.response === undefined)
      return "fields: expected prompt and response together"
    return pairOf(row, { prompt: fields.prompt, response: fields.response })
  }
  if (has(row, "text")) return textOf(row, "text")
  for (const pair of PAIRS) if (has(row, pair.prompt) && has(row, pair.response)) return pairOf(row, pair)
  if (has(row, "instruction") && has(row, "output")) return instructionOf(row)
  const got = Object.keys(row).slice(0, 8).map(showJson).join(", ")
  return `expected ${KNOWN}, got ${got === "" ? "no field" : got}`
}

const onlyOne = "fields: expected either text, or prompt and response"

function textOf(row: Row, name: string): Document | string {
  const text = row[name]
  return typeof text === "string" ? { text } : wrong(name, text)
}

function pairOf(row: Row, names: { prompt: string; response: string }): Document | string {
  const prompt = row[names.prompt]
  const text = row[names.response]
  if (typeof prompt !== "string") return wrong(names.prompt, prompt)
  return typeof text === "string" ? { prompt, text } : wrong(names.response, text)
}

function instructionOf(row: Row): Document | string {
  const { instruction, input, output } = row
  if (typeof instruction !== "string") return wrong("instruction", instruction)
  if (input !== undefined && input !== null && typeof input !== "string") return wrong("input", input)
  if (typeof output !== "string") return wrong("output", output)
  return { prompt: `${instruction}\n\n${input ? `${input}\n\n` : ""}`, text: output }
}

function wrong(name: string, value: unknown): string {
  const kind = value === undefined ? "nothing" : typeof value // never the value itself: it is a client's data
  return `field ${showJson(name)}: expected text, got ${kind}`
}

function has(row: Row, name: string): boolean {
  return Object.hasOwn(row, name)
}
