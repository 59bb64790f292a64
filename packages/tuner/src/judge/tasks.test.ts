import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { answerTasks } from "./answer-tasks.js"
import { choiceQuestion } from "./choice-questions.js"
import { readRecords } from "./records.js"
import type { DataRecord } from "./records.js"

let folder = ""
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-judge-"))))
afterEach(() => rm(folder, { recursive: true }))

async function read(name: string, content: string): Promise<DataRecord[]> {
  await writeFile(join(folder, name), content)
  return readRecords(join(folder, name))
}
const at = (row: object): DataRecord => ({ row: row as DataRecord["row"], where: "here" })

test("rows come from JSON lines, a JSON array and a table, each with its place", async () => {
  const rows = [{ a: "1" }, { a: "2" }]
  expect((await read("a.jsonl", '{"a":"1"}\n\n{"a":"2"}\n')).map(({ row }) => row)).toEqual(rows)
  expect((await read("a.json", '[{"a":"1"},{"a":"2"}]')).map(({ row }) => row)).toEqual(rows)
  expect((await read("a.csv", "a\n1\n2\n")).map(({ row, where }) => [row, where])).toEqual([
    [rows[0], join(folder, "a.csv:2")],
    [rows[1], join(folder, "a.csv:3")],
  ])
})

test("rows that are none are refused with file and line and without a word of the data", async () => {
  const refused = async (name: string, content: string, message: RegExp, code = "DATA_MALFORMED"): Promise<void> =>
    expect(read(name, content)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  await refused("a.jsonl", '{"a":1}\nsecret\n', /a\.jsonl:2: expected JSON$/)
  await refused("a.jsonl", "[1]\n", /:1: expected an object, got a list$/)
  await refused("a.json", '{"a":1}', /expected an array of objects$/)
  await refused("a.json", '[{"a":1},5]', /a\.json: \[1\]: expected an object, got number$/)
  await refused("a.csv", "a,b\n1\n", /:2: expected 2 fields/)
  await refused("a.csv", "a,b,a\n1,2,3\n", /a\.csv:1: expected every column name once, got "a" twice$/)
  await refused("a.jsonl", "\n", /at least one row/, "DATA_EMPTY")
  await refused("a.txt", "x", /expected a \.jsonl, \.ndjson/, "USAGE")
})

test("listed choices are asked by text or by letter; the answer is an index, a letter or the text", () => {
  const row = { question: "Two and two?", choices: ["three", "four"] }
  for (const answer of [1, "1", "B", " B", "four"])
    expect(choiceQuestion(at({ ...row, answer }), "text")).toEqual({
      prompt: "Question: Two and two?\nAnswer:",
      choices: [" three", " four"],
      answer: 1,
    })
  expect(choiceQuestion(at({ ...row, answer: 0 }), "letter")).toEqual({
    prompt: "Question: Two and two?\nA. three\nB. four\nAnswer:",
    choices: [" A", " B"],
    answer: 0,
  })
  const arc = { question: "q", choices: { text: ["x", "y"], label: ["1", "2"] }, answerKey: "2" }
  expect(choiceQuestion(at(arc), "text")).toMatchObject({ choices: [" x", " y"], answer: 1 })
})

test("options inside the text become choices after the words that all answers share", () => {
  const row = {
    instruction: "Answer honestly.",
    input: "Question: Which is not? Options: A. 47,XY,+13, B. vitamin D. or so, C. 45,Y",
    output: "The answer is: C. 45,Y",
  }
  expect(choiceQuestion(at(row), "text")).toEqual({
    prompt: `Answer honestly.\n\n${row.input}\n\n`,
    lead: "The answer is:",
    choices: [" A. 47,XY,+13", " B. vitamin D. or so", " C. 45,Y"],
    answer: 2,
  })
  expect(choiceQuestion(at(row), "letter").choices).toEqual([" A", " B", " C"])
  const bare = { instruction: "Pick one:\nA) yes\nB) no", output: "B" }
  expect(choiceQuestion(at(bare), "text")).toEqual({
    prompt: "Pick one:\nA) yes\nB) no\n\n",
    lead: "",
    choices: ["A. yes", "B. no"],
    answer: 1,
  })
})

test("a row that is no question is refused with its place", () => {
  const refused = (row: object, message: RegExp): void => {
    expect(() => choiceQuestion(at(row), "text")).toThrow(expect.objectContaining({ code: "DATA_MALFORMED" }))
    expect(() => choiceQuestion(at(row), "text")).toThrow(message)
  }
  refused({ text: "x" }, /^here: expected question, choices and answer/)
  refused({ question: "q", choices: ["one"], answer: 0 }, /"choices": expected 2\.\.26 texts/)
  refused({ question: "q", choices: [1, 2], answer: 0 }, /"choices"/)
  refused({ question: 5, choices: ["a", "b"], answer: 0 }, /"question": expected text/)
  for (const answer of [2, -1, 0.5, "C", undefined, null])
    refused({ question: "q", choices: ["a", "b"], answer }, /"answer": expected an index/)
  const labelled = (label: unknown): object => ({ question: "q", choices: { text: ["x", "y"], label }, answer: 0 })
  refused(labelled(["A"]), /"choices\.label": expected 2 texts, one for each choice, got 1$/)
  refused(labelled([1, 2]), /"choices\.label"/)
  refused({ instruction: "A. x B. y", input: 5, output: "A. x" }, /"input": expected text, got number/)
  refused({ instruction: "no options", output: "A." }, /expected options/)
  refused({ instruction: "A. x B. y", output: "C. z" }, /"output": expected the letter of one of 2 options/)
})

test("rows of one prompt are one task with several references, in the order they come", () => {
  const rows = [
    { mr: "name[X]", ref: "X." },
    { mr: "name[Y]", ref: "Y." },
    { mr: "name[X]", ref: "It is X." },
  ]
  expect(answerTasks(rows.map(at))).toEqual([
    { prompt: "name[X]", references: ["X.", "It is X."] },
    { prompt: "name[Y]", references: ["Y."] },
  ])
})

test("prompt and references come from the columns named or known, a list being several references", () => {
  const one = (row: object, fields?: object): unknown => answerTasks([at(row)], fields)[0]
  expect(one({ question: "q", answer: "#### 3" })).toEqual({ prompt: "q", references: ["#### 3"] })
  expect(one({ prompt: "p", completion: ["a", "b"] })).toEqual({ prompt: "p", references: ["a", "b"] })
  expect(one({ instruction: "i", input: "x", output: "o" })).toEqual({ prompt: "i\n\nx\n\n", references: ["o"] })
  expect(one({ instruction: "i", input: "", output: "o" })).toEqual({ prompt: "i\n\n", references: ["o"] })
  expect(one({ x: "p", y: "r", prompt: "no" }, { prompt: "x", response: "y" })).toEqual({
    prompt: "p",
    references: ["r"],
  })
  expect(() => one({ x: "p" }, { prompt: "x" })).toThrow(/field "response": expected text/)
  expect(() => one({ instruction: "i", input: 5, output: "o" })).toThrow(/"input": expected text, got number/)
  expect(() => one({ text: "t" })).toThrow(/expected prompt and response/)
  expect(() => one({ prompt: "p", response: [] })).toThrow(/"response": expected text or a list/)
})
