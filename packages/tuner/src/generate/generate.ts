import { setImmediate } from "node:timers/promises"

import type { GeneratedText, GenerationJob, GenerationResult, JobOptions, SamplingSettings } from "../api.js"
import { createDecoder } from "../model/decoder.js"
import type { Decoder } from "../model/decoder.js"
import { checkGeneration } from "./check-generation.js"
import { advance } from "./decoder.js"
import { createCache } from "./kv-cache.js"
import type { KvCache } from "./kv-cache.js"
import { openReader } from "./reader.js"
import { sampleToken } from "./sample-token.js"
import { createTextStream } from "./text-stream.js"
import type { TextStream } from "./text-stream.js"

/** Prompt tokens of one pass: long enough that products are large; a single prompt may be longer. */
const PREFILL_TOKENS = 2_048
/** Sequences side by side: a step reads the weights once for all of them, and their caches stay small. */
const BATCH = 8
const GREEDY: SamplingSettings = { temperature: 0, seed: 0 }

/** One prompt on its way to an answer. */
interface Sequence {
  readonly index: number
  readonly prompt: Int32Array
  readonly cache: KvCache
  readonly stream: TextStream
  readonly ids: number[]
  /** Tokens of prompt and answer so far. */
  readonly seen: Set<number>
  text: string
  finish?: GeneratedText["finish"]
}

/** What all sequences of a job share. */
interface Generation {
  readonly model: Decoder
  readonly sampling: SamplingSettings
  readonly endIds: ReadonlySet<number>
  /** Ids that are tokens: the rows of scores behind them are padding. */
  readonly vocabularySize: number
  readonly maxTokens: number
  readonly onToken: JobOptions["onToken"]
}

/**
 * Continues every prompt of the job, up to `batch` of them side by side, token by token against a key-value cache. A
 * prompt is tokenized as it is, behind the token that a text begins with where the model is used to one. An answer
 * ends before a token that ends a document or a turn, before a stop string, at `maxTokens`, or where the context is
 * full. Codes: DATA_EMPTY for no prompt or one without tokens,
 * RECIPE_INVALID for settings out of range or a prompt that fills the context, SCORES_NOT_FINITE, TOKENIZER_*,
 * ADAPTER_MISMATCH, KERNEL_*.
 */
export async function generate(
  job: GenerationJob,
  options: Pick<JobOptions, "signal" | "onToken" | "onCount"> = {},
): Promise<GenerationResult> {
  const { base, adapters = [], compute: precision = "f32", maxTokens, batch = BATCH, stop = [] } = job
  const { tokenizer, endIds, read } = await openReader(base)
  const prompts = job.prompts.map(read)
  const context = checkGeneration(job, prompts)
  const generation: Generation = {
    ...{ maxTokens, sampling: job.sampling ?? GREEDY, onToken: options.onToken },
    vocabularySize: tokenizer.vocabularySize,
    model: createDecoder(base, { adapters, precision, positions: context }),
    endIds: job.ignoreEnd ? new Set() : endIds,
  }
  const begin = ({ prompt, index }: { prompt: Int32Array; index: number }): Sequence => ({
    ...{ index, prompt, ids: [], seen: new Set(prompt), text: "" },
    stream: createTextStream(tokenizer, { prompt, stop }),
    cache: createCache(base.config, Math.min(context, prompt.length + maxTokens)),
  })
  const answers: GeneratedText[] = []
  const clock = { promptSeconds: 0, answerSeconds: 0 }
  const waiting = prompts.map((prompt, index) => ({ prompt, index }))
  let running: Sequence[] = []
  while (waiting.length > 0 || running.length > 0) {
    options.signal?.throwIfAborted()
    const newcomers = waiting.splice(0, prefillCount(waiting, batch - running.length)).map(begin)
    const start = performance.now()
    step(generation, newcomers.length > 0 ? newcomers : running)
    clock[newcomers.length > 0 ? "promptSeconds" : "answerSeconds"] += (performance.now() - start) / 1_000
    running.push(...newcomers)
    for (const { index, ids, text, prompt, finish } of running)
      if (finish) answers[index] = { ids, text, promptTokens: prompt.length, finish }
    running = running.filter(({ finish }) => finish === undefined)
    options.onCount?.({ done: prompts.length - waiting.length - running.length, total: prompts.length })
    await setImmediate() // an abort arrives as a message, and messages wait for the thread
  }
  return { answers, ...ratesOf(answers, clock) }
}

/** How many of `waiting` go into one pass: at most `room`, and no more than a pass's tokens where that is several. */
function prefillCount(waiting: readonly { prompt: Int32Array }[], room: number): number {
  let tokens = 0
  const count = waiting.findIndex(({ prompt }, i) => i >= room || ((tokens += prompt.length) > PREFILL_TOKENS && i > 0))
  return count < 0 ? waiting.length : count
}

/** One pass: the whole prompt of sequences that begin, the last token of others; then one token more for each. */
function step(generation: Generation, sequences: readonly Sequence[]): void {
  const continuations = sequences.map(({ cache, prompt, ids }) => ({
    cache,
    ids: cache.length === 0 ? prompt : Int32Array.of(ids.at(-1) as number),
  }))
  const scores = advance(generation.model, continuations)
  for (const [i, sequence] of sequences.entries()) accept(generation, sequence, scores[i]?.[0] as Float32Array)
}

function accept(generation: Generation, sequence: Sequence, scores: Float32Array): void {
  const { sampling, endIds, vocabularySize, maxTokens, onToken } = generation
  const { index, cache, ids, seen, stream } = sequence
  const id = sampleToken(scores.subarray(0, vocabularySize), sampling, { sequence: index, step: ids.length, seen })
  let text = ""
  if (endIds.has(id)) sequence.finish = "end"
  else {
    ids.push(id)
    seen.add(id)
    text = stream.push(id)
    if (stream.stopped) sequence.finish = "stop"
    else if (ids.length === maxTokens || cache.length === cache.capacity) sequence.finish = "length"
  }
  if (sequence.finish) text += stream.end()
  sequence.text += text
  onToken?.({ index, id, text })
}

/** Of each answer the first token is the prompt's pass, the others have one of their own. */
function ratesOf(
  answers: readonly GeneratedText[],
  { promptSeconds, answerSeconds }: { promptSeconds: number; answerSeconds: number },
): Pick<GenerationResult, "promptTokensPerSecond" | "tokensPerSecond"> {
  const read = answers.reduce((sum, { promptTokens }) => sum + promptTokens, 0)
  const written = answers.reduce((sum, { ids, finish }) => sum + ids.length - (finish === "end" ? 0 : 1), 0)
  return { promptTokensPerSecond: read / promptSeconds, tokensPerSecond: written / (answerSeconds || Infinity) }
}
