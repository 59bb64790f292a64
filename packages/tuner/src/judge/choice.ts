import { setImmediate } from "node:timers/promises"

import { LaminaError } from "@lamina/protocol/errors"

import type { ChoiceJob, ChoiceQuestion, ChoiceResult, JobOptions } from "../api.js"
import { advance } from "../generate/decoder.js"
import { createCache } from "../generate/kv-cache.js"
import { openReader } from "../generate/reader.js"
import type { Reader } from "../generate/reader.js"
import { createDecoder } from "../model/decoder.js"
import type { Decoder } from "../model/decoder.js"

/** Tokens of prompts in one pass: long enough that products are large. */
const PROMPT_TOKENS = 2_048
/** Tokens of choices in one pass: each has a row of scores as long as the vocabulary. */
const CHOICE_TOKENS = 256

/** A question as tokens. */
interface TokenQuestion {
  readonly prompt: Int32Array
  readonly choices: readonly Int32Array[]
}

/**
 * Multiple choice by likelihood: log p(choice | prompt) of every choice, the sum over its tokens in natural log. The
 * best is chosen twice: by the sum, and by the sum over the choice's UTF-8 bytes, which a long choice does not lose by
 * (acc and acc_norm of EleutherAI's lm-evaluation-harness; Brown et al. 2020, arXiv:2005.14165, section 2.4). The
 * first of equals is chosen. Prompt, lead and choice are tokenized apart, behind the
 * token that a text begins with where the model is used to one. A prompt that leaves no
 * room for its longest choice loses its beginning, and is counted. A prompt is run once for all its choices. Codes:
 * DATA_EMPTY, DATA_MALFORMED for a choice without tokens or longer than the context, RECIPE_INVALID for a context
 * the model has not, SCORES_NOT_FINITE, TOKENIZER_*, ADAPTER_MISMATCH, KERNEL_*.
 */
export async function judgeChoices(
  job: ChoiceJob,
  options: Pick<JobOptions, "signal" | "onCount"> = {},
): Promise<ChoiceResult> {
  const { base, adapters = [], compute: precision = "f32", context = base.config.context, questions } = job
  if (!Number.isInteger(context) || context < 2 || context > base.config.context)
    throw new LaminaError(
      "RECIPE_INVALID",
      `context: expected 2..${base.config.context}, the model's context, got ${context}`,
    )
  if (questions.length === 0) throw new LaminaError("DATA_EMPTY", "expected at least one question, got none")
  const reader = await openReader(base)
  const model = createDecoder(base, { adapters, precision, positions: context })
  const tokens = questions.map((question, i) => tokenizeQuestion(question, reader, { context, number: i + 1 }))
  const logLikelihoods: number[][] = []
  while (logLikelihoods.length < questions.length) {
    options.signal?.throwIfAborted()
    const first = logLikelihoods.length
    logLikelihoods.push(...scoreQuestions(model, tokens.slice(first, first + groupSize(tokens, first))))
    options.onCount?.({ done: logLikelihoods.length, total: questions.length })
    await setImmediate() // an abort arrives as a message, and messages wait for the thread
  }
  const shortened = tokens.filter(({ shortened }) => shortened).length
  return { ...accuracies(questions, logLikelihoods), shortened, logLikelihoods }
}

function tokenizeQuestion(
  { prompt, lead = "", choices }: ChoiceQuestion,
  { tokenizer, read }: Reader,
  { context, number }: { context: number; number: number },
): TokenQuestion & { readonly shortened: boolean } {
  const options = choices.map((choice) => tokenizer.encode(choice))
  const longest = Math.max(...options.map(({ length }) => length))
  if (options.length < 2 || options.some(({ length }) => length === 0) || longest >= context)
    throw new LaminaError(
      "DATA_MALFORMED",
      `question ${number}: expected at least 2 choices of 1..${context - 1} tokens, got ` +
        `${options.map(({ length }) => length).join(", ") || "none"}`,
    )
  const ids = [...read(prompt), ...tokenizer.encode(lead)]
  if (ids.length === 0)
    throw new LaminaError("DATA_EMPTY", `question ${number}: expected a prompt of at least one token, got none`)
  const room = context - longest + 1 // the last token of a choice is predicted and not fed
  return { prompt: Int32Array.from(ids.slice(-room)), choices: options, shortened: ids.length > room }
}

/** Questions from `first` on that share passes; at least one. */
function groupSize(questions: readonly TokenQuestion[], first: number): number {
  let [prompts, fed, size] = [0, 0, 0]
  for (const { prompt, choices } of questions.slice(first)) {
    prompts += prompt.length
    fed += choices.reduce((sum, { length }) => sum + length - 1, 0)
    if (size > 0 && (prompts > PROMPT_TOKENS || fed > CHOICE_TOKENS)) break
    size++
  }
  return size
}

/** Per question, log p of every choice. */
function scoreQuestions(model: Decoder, questions: readonly TokenQuestion[]): number[][] {
  const caches = questions.map(({ prompt, choices }) =>
    createCache(model.config, prompt.length + Math.max(...choices.map(({ length }) => length)) - 1),
  )
  const begun = questions.map(({ prompt: ids }, i) => ({ ids, cache: caches[i] as (typeof caches)[number] }))
  const first = advance(model, begun).map(([scores]) => logSoftmax(scores as Float32Array))
  const sums = questions.map(({ choices }, i) => choices.map((ids) => first[i]?.(ids[0] as number) as number))
  const fed = questions.flatMap(({ choices }, question) =>
    choices.flatMap((ids, choice) => (ids.length > 1 ? [{ ids, question, choice }] : [])),
  )
  if (fed.length === 0) return sums
  const continuations = fed.map(({ ids, question }) => ({
    ids: ids.subarray(0, -1),
    cache: caches[question] as (typeof caches)[number],
  }))
  const scores = advance(model, continuations, { every: true, keep: false })
  for (const [i, { ids, question, choice }] of fed.entries())
    for (const [row, rowScores] of (scores[i] as Float32Array[]).entries())
      (sums[question] as number[])[choice] =
        ((sums[question] as number[])[choice] as number) + logSoftmax(rowScores)(ids[row + 1] as number)
  return sums
}

/** log softmax(scores) (V) of any id. SCORES_NOT_FINITE. */
function logSoftmax(scores: Float32Array): (id: number) => number {
  let most = -Infinity
  for (const score of scores) if (score > most) most = score
  let sum = 0
  for (const score of scores) sum += Math.exp(score - most)
  const logSum = most + Math.log(sum)
  if (!Number.isFinite(logSum))
    throw new LaminaError("SCORES_NOT_FINITE", `expected finite scores of the next token, got a sum of ${logSum}`)
  return (id) => (scores[id] as number) - logSum
}

function accuracies(
  questions: readonly ChoiceQuestion[],
  logLikelihoods: readonly (readonly number[])[],
): Pick<ChoiceResult, "accuracy" | "accuracyPerByte"> {
  const right = { sum: 0, perByte: 0 }
  for (const [i, { choices, answer }] of questions.entries()) {
    const sums = logLikelihoods[i] as readonly number[]
    const perByte = sums.map((sum, choice) => sum / Buffer.byteLength(choices[choice] as string))
    if (indexOfMost(sums) === answer) right.sum++
    if (indexOfMost(perByte) === answer) right.perByte++
  }
  return { accuracy: right.sum / questions.length, accuracyPerByte: right.perByte / questions.length }
}

function indexOfMost(values: readonly number[]): number {
  return values.indexOf(Math.max(...values))
}
