import type { ChoiceQuestion } from "../api.js"
import { instructionOf, isInstruction } from "../data/fields.js"
import { isJsonObject } from "../files/json.js"
import { malformedRecord } from "./records.js"
import type { DataRecord } from "./records.js"

/** What of an option is scored: its text, or its letter alone after a prompt that lists all options. */
export type ChoiceStyle = "text" | "letter"

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/**
 * The multiple-choice question of a row, in one of two forms. `question`, `choices` (texts, or `{ text, label }` lists
 * as ARC has them) and `answer` or `answerKey` (index, letter, label or the text itself): asked as "Question: ...\n
 * Answer:", each choice scored as a space and its text; by letter the options are listed between. Or `instruction`,
 * `input` and `output` with the options inside the text ("A. one, B. two") and the right one in `output` after words
 * that all answers share ("The answer is: B. two"): the prompt is what training makes of such a row. DATA_MALFORMED.
 */
export function choiceQuestion({ row, where }: DataRecord, style: ChoiceStyle): ChoiceQuestion {
  if (row.choices !== undefined) return listedQuestion({ row, where }, style)
  if (isInstruction(row)) return writtenQuestion({ row, where }, style)
  throw malformedRecord(where, "expected question, choices and answer, or instruction (and input) and output")
}

function listedQuestion({ row, where }: DataRecord, style: ChoiceStyle): ChoiceQuestion {
  const { question } = row
  if (typeof question !== "string") throw malformedRecord(where, `field "question": expected text`)
  const given = isJsonObject(row.choices) ? row.choices : { text: row.choices }
  const texts = textList(given.text)
  if (texts === undefined || texts.length < 2 || texts.length > LETTERS.length)
    throw malformedRecord(where, `field "choices": expected 2..${LETTERS.length} texts`)
  const labels = labelsOf(given.label, texts, where)
  const answer = answerIndex(row.answer ?? row.answerKey, { texts, labels })
  if (answer < 0) throw malformedRecord(where, `field "answer": expected an index, a letter or the text of a choice`)
  if (style === "text")
    return { prompt: `Question: ${question}\nAnswer:`, choices: texts.map((text) => ` ${text}`), answer }
  const options = texts.map((text, i) => `${LETTERS[i]}. ${text}\n`).join("")
  return {
    prompt: `Question: ${question}\n${options}Answer:`,
    choices: texts.map((_, i) => ` ${LETTERS[i]}`),
    answer,
  }
}

/** Letters where no labels are given, which must be one for each text. */
function labelsOf(given: unknown, texts: readonly string[], where: string): string[] {
  if (given === undefined || given === null) return texts.map((_, i) => LETTERS[i] as string)
  const labels = textList(given)
  if (labels?.length === texts.length) return labels
  const got = labels === undefined ? "something else" : String(labels.length)
  throw malformedRecord(where, `field "choices.label": expected ${texts.length} texts, one for each choice, got ${got}`)
}

/** A number counts from 0; text is a label before it is a choice's text, and digits that are neither an index. */
function answerIndex(answer: unknown, { texts, labels }: { texts: string[]; labels: string[] }): number {
  if (typeof answer === "string") {
    const found = [labels.indexOf(answer.trim()), texts.indexOf(answer)].find((index) => index >= 0)
    return found ?? answerIndex(/^\d{1,2}$/.test(answer.trim()) ? Number(answer) : undefined, { texts, labels })
  }
  return Number.isInteger(answer) && (answer as number) >= 0 && (answer as number) < texts.length
    ? (answer as number)
    : -1
}

function textList(value: unknown): string[] | undefined {
  return Array.isArray(value) && value.every((item) => typeof item === "string") ? (value as string[]) : undefined
}

function writtenQuestion({ row, where }: DataRecord, style: ChoiceStyle): ChoiceQuestion {
  const pair = instructionOf(row)
  if (typeof pair === "string") throw malformedRecord(where, pair)
  const { instruction, input, response: output } = pair
  const text = input === "" ? instruction : input
  const options = optionsIn(text)
  if (options.length < 2) throw malformedRecord(where, `expected options "A. ... B. ..." in the text, found none`)
  const given = /^(.*?)\b([A-Z])[.)]/s.exec(output) ?? /^(.*?)\b([A-Z])\s*$/s.exec(output)
  const answer = options.findIndex(({ letter }) => letter === given?.[2])
  if (given === null || answer < 0)
    throw malformedRecord(where, `field "output": expected the letter of one of ${options.length} options`)
  const lead = (given[1] as string).trimEnd()
  const space = lead === given[1] ? "" : " " // a token begins with its space
  return {
    prompt: pair.prompt,
    lead,
    choices: options.map(({ letter, text }) => `${space}${letter}${style === "letter" ? "" : `. ${text}`}`),
    answer,
  }
}

/** "... Options: A. one, B. two" -> A: one, B: two. The first A that has a B after it begins the list. */
function optionsIn(text: string): { letter: string; text: string }[] {
  const starts: { from: number; end: number }[] = []
  let at = 0
  for (const letter of LETTERS) {
    const mark = new RegExp(`(?:^|[\\s,;(])${letter}[.)]\\s+`, "g")
    mark.lastIndex = at
    const found = mark.exec(text)
    if (found === null) break
    starts.push({ from: found.index, end: mark.lastIndex })
    at = mark.lastIndex - 1
  }
  return starts.map(({ end }, i) => ({
    letter: LETTERS[i] as string,
    text: text.slice(end, starts[i + 1]?.from ?? text.length).replace(/[\s,;(]+$/, ""),
  }))
}
