import { answerTasks, corpusBleu, exactMatch, readRecords, rougeL } from "@lamina/tuner"
import type { JudgedAnswer } from "@lamina/tuner"

import { promptWriter } from "../chat/model-template.js"
import { percent } from "../output/table.js"
import type { Evaluation, Outcome } from "./evaluation.js"

/** Share of generated answers that equal a reference. */
export async function exact(evaluation: Evaluation): Promise<Outcome> {
  const { judged, cost } = await generateAnswers(evaluation)
  const items = judged.map((item) => ({ ...item, right: exactMatch(item.answer, item.references) }))
  const share = items.filter(({ right }) => right).length / items.length
  return {
    figures: { task: "exact", prompts: items.length, exactMatch: share, ...cost },
    line: `exact match ${percent(share)}   ${items.length} prompts`,
    items,
  }
}

/** ROUGE-L F1, mean over answers, and corpus BLEU of generated answers. */
export async function generated(evaluation: Evaluation): Promise<Outcome> {
  const { judged, cost } = await generateAnswers(evaluation)
  const items = judged.map((item) => ({ ...item, rougeL: rougeL(item.answer, item.references).f1 }))
  const mean = items.reduce((sum, { rougeL: f1 }) => sum + f1, 0) / items.length
  const { score, brevityPenalty } = corpusBleu(judged)
  const references = judged.reduce((sum, item) => sum + item.references.length, 0)
  const figures = { task: "generate", prompts: items.length, references, rougeL: mean, bleu: score, brevityPenalty }
  return {
    figures: { ...figures, ...cost },
    line: `ROUGE-L ${percent(mean)}   BLEU ${score.toFixed(2)}   ${items.length} prompts, ${references} references`,
    items,
  }
}

interface Answered {
  readonly judged: readonly (JudgedAnswer & { readonly prompt: string })[]
  readonly cost: { readonly tokens: number; readonly tokensPerSecond: number }
}

/** Greedy, so that the same model gets the same figures; answers without the space around them. */
async function generateAnswers({ model, options, signal, onCount }: Evaluation): Promise<Answered> {
  const fields = { prompt: options.promptField, response: options.responseField }
  const tasks = answerTasks(await readRecords(options.data), fields).slice(0, options.limit)
  const write = await promptWriter(model.job.base.folder, options)
  const job = { prompts: tasks.map(({ prompt }) => write(prompt)), maxTokens: options.maxTokens, stop: options.stop }
  const { answers, tokensPerSecond } = await model.pool.generate({ ...model.job, ...job }, { signal, onCount })
  const judged = tasks.map((task, i) => ({ ...task, answer: answers[i]?.text.trim() ?? "" }))
  return { judged, cost: { tokens: answers.reduce((sum, { ids }) => sum + ids.length, 0), tokensPerSecond } }
}
