import { fileURLToPath } from "node:url"

import { initKernels, nativeAvailable } from "@lamina/kernels"
import { createTunerPool, judgeChoices, loadBase, loadTokenizer } from "@lamina/tuner"
import type { Base, ChoiceJob, ChoiceQuestion, ChoiceResult } from "@lamina/tuner"
import * as tf from "@tensorflow/tfjs-core"

import { joinRows } from "../../packages/tuner/src/data/batches.js"
import { createDecoder, logitsOf } from "../../packages/tuner/src/model/decoder.js"

const folder = fileURLToPath(new URL("../../models/tiny/", import.meta.url))
const backend = nativeAvailable() ? "native" : "cpu"
/** The embedded model knows its presidents; the lengths of the choices differ much. */
const questions: readonly ChoiceQuestion[] = [
  { prompt: "We the people of the United", choices: [" apples and pears of the world", " States", " the"], answer: 1 },
  { prompt: "The Secretary of the", lead: " Treasury", choices: [" has been", "!!!", " and of the Navy"], answer: 2 },
  { prompt: "My fellow", choices: [" citizens", " citizens of the United States of America"], answer: 1 },
]

let base: Base
beforeAll(async () => {
  await initKernels({ backend })
  base = await loadBase(folder, { precision: "stored" })
})

const judge = (job: Partial<ChoiceJob> = {}): Promise<ChoiceResult> => judgeChoices({ base, questions, ...job })

/** log p of `choice` after the prompt, from one pass over the whole sequence without a cache. */
async function whole({ prompt, lead = "" }: ChoiceQuestion, choice: string): Promise<number> {
  const tokenizer = await loadTokenizer(folder)
  const [first, second, third] = [prompt, lead, choice].map((text) => [...tokenizer.encode(text)])
  const ids = Int32Array.from([...(first ?? []), ...(second ?? []), ...(third ?? [])])
  const model = createDecoder(base, { adapters: [], precision: "f32", positions: ids.length })
  const values = tf.tidy(() =>
    tf.logSoftmax(logitsOf(model, joinRows([[{ ids, predicted: new Uint8Array(ids.length).fill(1) }]]))).arraySync(),
  )
  const from = ids.length - (third?.length ?? 0)
  return [...ids.subarray(from)].reduce((sum, id, i) => sum + ((values[from + i - 1] ?? [])[id] ?? NaN), 0)
}

test("the likelihoods of choices that share a prompt are those of whole sequences", async () => {
  const { logLikelihoods } = await judge()
  for (const [i, question] of questions.entries())
    for (const [j, choice] of question.choices.entries()) {
      const expected = await whole(question, choice)
      // sums of at most ten f32 log-probabilities, relative error of each below 1e-5
      expect(Math.abs((logLikelihoods[i]?.[j] ?? NaN) / expected - 1)).toBeLessThan(1e-4)
    }
})

test("accuracy counts the best sum, and the best per byte", async () => {
  const { logLikelihoods, accuracy, accuracyPerByte, shortened } = await judge()
  const best = (values: number[]): number => values.indexOf(Math.max(...values))
  const sums = questions.filter(({ answer }, i) => best([...(logLikelihoods[i] ?? [])]) === answer)
  const perByte = questions.filter(
    ({ answer, choices }, i) =>
      best((logLikelihoods[i] ?? []).map((sum, j) => sum / (choices[j] ?? "").length)) === answer,
  )
  expect(sums.length).not.toBe(perByte.length) // else one could stand for the other
  expect(accuracy).toBeCloseTo(sums.length / questions.length, 12)
  expect(accuracyPerByte).toBeCloseTo(perByte.length / questions.length, 12)
  expect(shortened).toBe(0)
})

test("a prompt that is too long loses its beginning, and is counted", async () => {
  const [question] = questions as [ChoiceQuestion]
  const tokenizer = await loadTokenizer(folder)
  const long = { ...question, prompt: `Something else entirely. ${question.prompt}` }
  const kept = tokenizer.encode(long.prompt).slice(-4)
  const short = { ...question, prompt: tokenizer.decode(kept) }
  expect(tokenizer.encode(short.prompt)).toEqual(kept) // else the one below is of another prompt
  const longest = Math.max(...question.choices.map((choice) => tokenizer.encode(choice).length))
  // four of the prompt and all of a choice but its last token, which is not fed
  const { shortened, logLikelihoods } = await judge({ questions: [long, short], context: 4 + longest - 1 })
  expect(shortened).toBe(1)
  expect(logLikelihoods[0]).toEqual(logLikelihoods[1])
  expect(logLikelihoods[1]?.[1]).toBeCloseTo(await whole(short, question.choices[1] ?? ""), 3)
})

test("questions that cannot be judged are refused, with their number", async () => {
  const [question] = questions as [ChoiceQuestion]
  await expect(judge({ questions: [] })).rejects.toMatchObject({ code: "DATA_EMPTY" })
  await expect(judge({ questions: [question, { ...question, choices: ["one"] }] })).rejects.toThrow(/question 2/)
  await expect(judge({ questions: [{ ...question, choices: ["one", ""] }] })).rejects.toMatchObject({
    code: "DATA_MALFORMED",
  })
  await expect(judge({ questions: [{ ...question, prompt: "" }] })).rejects.toMatchObject({ code: "DATA_EMPTY" })
  await expect(judge({ context: 1 })).rejects.toMatchObject({ code: "RECIPE_INVALID" })
})

test("a pool judges as this thread does, and counts the questions", async () => {
  const pool = await createTunerPool({ workers: 1, threads: 1, backend })
  try {
    const counts: number[] = []
    expect(await pool.judge({ base, questions }, { onCount: ({ done }) => counts.push(done) })).toEqual(await judge())
    expect(counts).toEqual([3])
  } finally {
    await pool.close()
  }
})
