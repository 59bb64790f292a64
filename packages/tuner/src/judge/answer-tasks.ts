import { instructionPrompt, isInstruction } from "../data/fields.js"
import { malformedRecord } from "./records.js"
import type { DataRecord } from "./records.js"

/** A prompt and the answers that count as right or good. */
export interface AnswerTask {
  readonly prompt: string
  readonly references: readonly string[]
}

/** Columns tried, in this order, where none are named. */
const PAIRS = [
  ["prompt", "response"],
  ["prompt", "completion"],
  ["question", "answer"],
  ["mr", "ref"],
] as const

/**
 * Prompts with their references, in the order they first come: rows with the same prompt are one task with several
 * references (E2E has several sentences for a meaning). Columns as named in `fields`, or else prompt and response or
 * completion, question and answer (GSM8K), mr and ref (E2E), or instruction, input and output, put together as in
 * training. A reference column may hold a list of texts. DATA_MALFORMED.
 */
export function answerTasks(
  records: readonly DataRecord[],
  fields: { readonly prompt?: string; readonly response?: string } = {},
): AnswerTask[] {
  const byPrompt = new Map<string, string[]>()
  for (const record of records) {
    const { prompt, references } = taskOf(record, fields)
    byPrompt.set(prompt, [...(byPrompt.get(prompt) ?? []), ...references])
  }
  return [...byPrompt].map(([prompt, references]) => ({ prompt, references }))
}

function taskOf({ row, where }: DataRecord, fields: { prompt?: string; response?: string }): AnswerTask {
  const text = (name: string): string => {
    const value = row[name]
    if (typeof value !== "string") throw malformedRecord(where, `field "${name}": expected text`)
    return value
  }
  const texts = (name: string): string[] => {
    const value = row[name]
    if (!Array.isArray(value)) return [text(name)]
    if (value.length === 0 || !value.every((item) => typeof item === "string"))
      throw malformedRecord(where, `field "${name}": expected text or a list of texts`)
    return value as string[]
  }
  const named = fields.prompt !== undefined || fields.response !== undefined
  const pair = named
    ? ([fields.prompt ?? "prompt", fields.response ?? "response"] as const)
    : PAIRS.find((names) => names.every((name) => Object.hasOwn(row, name)))
  if (pair !== undefined) return { prompt: text(pair[0]), references: texts(pair[1]) }
  if (!isInstruction(row))
    throw malformedRecord(
      where,
      "expected prompt and response, question and answer, mr and ref, or instruction (and input) and output",
    )
  const prompt = instructionPrompt(row)
  if (typeof prompt === "string") throw malformedRecord(where, prompt)
  return { prompt: prompt.prompt, references: texts("output") }
}
