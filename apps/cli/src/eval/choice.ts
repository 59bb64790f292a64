import { choiceQuestion, readRecords } from "@lamina/tuner"

import { promptWriter } from "../chat/model-template.js"
import { counted } from "../output/counted.js"
import { percent } from "../output/table.js"
import type { Evaluation, Outcome } from "./evaluation.js"

/** Multiple choice by likelihood; `chance` is what guessing gets. */
export async function choice({ model, options, signal, onCount }: Evaluation): Promise<Outcome> {
  const records = (await readRecords(options.data)).slice(0, options.limit)
  const write = await promptWriter(model.job.base.folder, options)
  const questions = records
    .map((record) => choiceQuestion(record, options.choices))
    .map((question) => ({ ...question, prompt: write(question.prompt) }))
  const result = await model.pool.judge({ ...model.job, questions }, { signal, onCount })
  const { accuracy, accuracyPerByte, shortened, logLikelihoods } = result
  const chance = questions.reduce((sum, { choices }) => sum + 1 / choices.length, 0) / questions.length
  return {
    figures: { task: "choice", questions: questions.length, accuracy, accuracyPerByte, chance, shortened },
    line:
      `accuracy ${percent(accuracy)}   per byte ${percent(accuracyPerByte)}   chance ${percent(chance)}   ` +
      `${counted(questions.length, "question")}${shortened > 0 ? `, ${shortened} shortened` : ""}`,
    items: questions.map((question, i) => ({ ...question, logLikelihoods: logLikelihoods[i] })),
  }
}
