import { setImmediate } from "node:timers/promises"

import { LaminaError } from "@lamina/protocol/errors"

import type { JobOptions, TrainingJob, TrainingResult } from "../api.js"
import { scoreRows } from "../evaluate/score-rows.js"
import { createDecoder } from "../model/decoder.js"
import { loadCheckpoint, saveCheckpoint } from "./checkpoint.js"
import type { CheckpointState } from "./checkpoint.js"
import { trainingData } from "./data.js"
import type { TrainingData } from "./data.js"
import { jobFingerprint } from "./fingerprint.js"
import { learningRateAt } from "./schedule.js"
import { tripletScores } from "./sensitivity.js"
import { startOf } from "./start.js"
import type { Start } from "./start.js"
import { trainingStep } from "./step.js"
import type { TrainingState } from "./step.js"

/**
 * Trains the job's LoRA factors on its data and returns them; everything random comes from the settings' seeds, so
 * the same job gives the same bytes on the same kernels, resumed or not. Runs in this thread, which is free between two
 * steps only; pools run it in workers. An abort rejects with the signal's reason after the current step; a checkpoint
 * is written first where the job has one. Codes: RECIPE_INVALID for settings out of range, ADAPTER_MISMATCH,
 * PLAN_UNSUPPORTED (merging into a quantized base), DATA_*, TOKENIZER_*, CHECKPOINT_MISMATCH,
 * TRAINING_DIVERGED, KERNEL_*.
 */
export async function train(job: TrainingJob, options: JobOptions = {}): Promise<TrainingResult> {
  checkSettings(job)
  options.signal?.throwIfAborted()
  const data = await trainingData(job, options)
  try {
    return await trainOn(job, data, options)
  } finally {
    data.close()
  }
}

/** `train` on data that is already packed. */
export async function trainOn(
  given: TrainingJob,
  data: TrainingData,
  options: JobOptions = {},
): Promise<TrainingResult> {
  const job = withSteps(given, data)
  const start = startOf(job)
  const { adapter, trained } = start.state
  const score = scoring(job, { start, data })
  const { from, last, tokensPerSecond } = await runSteps(job, { state: start.state, data, score }, options)
  const sensitivities = trained.flatMap(({ sensitivity }) => sensitivity ?? [])
  return {
    ...{ adapter, tokensPerSecond, dataTokens: data.tokens, dataExamples: data.examples },
    ...{ steps: last.step, firstLoss: last.firstLoss, lastLoss: last.lastLoss, resumedFromStep: from.step },
    ...(job.settings.reportScores && { scores: tripletScores(adapter, sensitivities, job.settings) }),
  }
}

async function runSteps(
  job: TrainingJob,
  { state, data, score }: { state: TrainingState; data: TrainingData; score: Scoring },
  options: JobOptions,
): Promise<{ from: CheckpointState; last: CheckpointState; tokensPerSecond: number }> {
  const { steps, accumulate } = job.settings
  const fingerprint = job.checkpoint ? jobFingerprint(job, data.identity) : ""
  const loaded = job.checkpoint && (await loadCheckpoint(job.checkpoint.path, fingerprint, state.trained))
  const from = loaded ?? { step: 0, firstLoss: 0, lastLoss: 0 }
  let last = from
  let saved = from.step
  const save = async (): Promise<void> => {
    if (job.checkpoint === undefined || saved === last.step) return
    await saveCheckpoint(job.checkpoint.path, fingerprint, last, state.trained)
    saved = last.step
  }
  await score(from.step, options)
  let tokens = 0
  let seconds = 0
  while (last.step < steps) {
    const { step } = last
    const started = performance.now()
    const micro = Array.from({ length: accumulate }, (_, i) => data.microBatch(step * accumulate + i))
    const loss = trainingStep(state, micro, step)
    const stepTokens = micro.reduce((sum, rows) => sum + rows.ids.length, 0)
    const stepSeconds = (performance.now() - started) / 1_000
    tokens += stepTokens
    seconds += stepSeconds
    last = { step: step + 1, firstLoss: step === 0 ? loss : last.firstLoss, lastLoss: loss }
    const learningRate = learningRateAt(step, job.settings)
    options.onProgress?.({ step: last.step, steps, loss, learningRate, tokensPerSecond: stepTokens / stepSeconds })
    if (last.step % (job.checkpoint?.everySteps ?? steps) === 0 || last.step === steps) await save()
    await setImmediate() // an abort arrives as a message, and messages wait for the thread
    if (options.signal?.aborted) await save()
    options.signal?.throwIfAborted()
    await score(last.step, options).catch(async (error: unknown) => {
      await save()
      throw error
    })
  }
  return { from, last, tokensPerSecond: seconds === 0 ? 0 : tokens / seconds }
}

/** The job with the steps that its epochs take: every row `epochs` times, the last batch filled up. */
function withSteps(job: TrainingJob, data: TrainingData): TrainingJob {
  if (job.epochs === undefined) return job
  const { batch, accumulate } = job.settings
  const steps = Math.max(1, Math.ceil((job.epochs * data.rows) / (batch * accumulate)))
  return { ...job, settings: { ...job.settings, steps } }
}

/** Scores the held-out data where one is due after `step` steps. */
type Scoring = (step: number, options: JobOptions) => Promise<void>

function scoring(job: TrainingJob, { start, data }: { start: Start; data: TrainingData }): Scoring {
  const { heldOut, settings } = job
  const { base, frozen, state } = start
  const everySteps = heldOut?.everySteps ?? Math.ceil(settings.steps / 5)
  return async (step, { signal, onHeldOut }) => {
    if (heldOut === undefined || data.heldOut === undefined || onHeldOut === undefined) return
    if (step % everySteps !== 0 && step !== settings.steps) return
    const { context, compute: precision } = settings
    const model = createDecoder(base, { adapters: [...frozen, state.adapter], precision, positions: context })
    const result = await scoreRows(model, { rows: data.heldOut, context }, { signal })
    onHeldOut({ ...result, step, adapter: state.adapter })
  }
}

/** RECIPE_INVALID with one line per setting out of range: a job may come from a plan of another machine. */
function checkSettings({ settings, base, checkpoint, epochs, heldOut }: TrainingJob): void {
  const whole = (value: number, min: number): boolean => Number.isSafeInteger(value) && value >= min
  const uint32 = (value: number): boolean => whole(value, 0) && value < 2 ** 32
  const problems = [
    ...(["steps", "batch", "accumulate"] as const).map(
      (key) => [key, whole(settings[key], 1), "a whole number of at least 1"] as const,
    ),
    [
      "context",
      whole(settings.context, 2) && settings.context <= base.config.context,
      `2..${base.config.context}, the model's context`,
    ] as const,
    ["warmupSteps", whole(settings.warmupSteps, 0), "a whole number of at least 0"] as const,
    ["learningRate", settings.learningRate > 0 && Number.isFinite(settings.learningRate), "a positive number"] as const,
    ["clipNorm", settings.clipNorm >= 0, "a number of at least 0"] as const,
    [
      "weightDecay",
      settings.weightDecay >= 0 && Number.isFinite(settings.weightDecay),
      "a number of at least 0",
    ] as const,
    [
      "proximal",
      settings.proximal === undefined || (settings.proximal >= 0 && Number.isFinite(settings.proximal)),
      "a number of at least 0",
    ] as const,
    ["dropout", settings.dropout >= 0 && settings.dropout < 1, "0 <= dropout < 1"] as const,
    ["seed", uint32(settings.seed), "a uint32"] as const,
    ["initSeed", settings.initSeed === undefined || uint32(settings.initSeed), "a uint32"] as const,
  ].filter(([, good]) => !good)
  const lines = problems.map(([key, , expected]) => `training.${key}: expected ${expected}, got ${settings[key]}`)
  if (checkpoint && !whole(checkpoint.everySteps, 1))
    lines.push(`checkpoint.everySteps: expected a whole number of at least 1, got ${checkpoint.everySteps}`)
  if (heldOut?.everySteps !== undefined && !whole(heldOut.everySteps, 1))
    lines.push(`heldOut.everySteps: expected a whole number of at least 1, got ${heldOut.everySteps}`)
  if (epochs !== undefined && !(epochs > 0 && Number.isFinite(epochs)))
    lines.push(`epochs: expected a positive number, got ${epochs}`)
  if (lines.length > 0) throw new LaminaError("RECIPE_INVALID", lines.join("\n"))
}
