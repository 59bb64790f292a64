import { setImmediate } from "node:timers/promises"

import { LaminaError } from "@lamina/protocol/errors"

import type { JobOptions, TrainingJob, TrainingResult } from "../api.js"
import { createLlama } from "../model/llama.js"
import { continuedAdapter, initialAdapter } from "../model/lora.js"
import { loadCheckpoint, saveCheckpoint } from "./checkpoint.js"
import type { CheckpointState } from "./checkpoint.js"
import { trainingData } from "./data.js"
import type { TrainingData } from "./data.js"
import { jobFingerprint } from "./fingerprint.js"
import { createTrained } from "./optimizer.js"
import { learningRateAt } from "./schedule.js"
import { trainingStep } from "./step.js"
import type { TrainingState } from "./step.js"

/**
 * Trains the job's LoRA factors on its data and returns them; everything random comes from `settings.seed`, so the
 * same job gives the same bytes on the same kernels, resumed or not. Runs in this thread, which is free between two
 * steps only; pools run it in workers. An abort rejects with the signal's reason after the current step; a checkpoint
 * on disk stays. Codes: RECIPE_INVALID for settings out of range, ADAPTER_MISMATCH, DATA_*, TOKENIZER_*,
 * CHECKPOINT_MISMATCH, TRAINING_DIVERGED, KERNEL_*.
 */
export async function train(job: TrainingJob, options: JobOptions = {}): Promise<TrainingResult> {
  checkSettings(job)
  options.signal?.throwIfAborted()
  return trainOn(job, await trainingData(job), options)
}

/** `train` on data that is already packed. */
export async function trainOn(job: TrainingJob, data: TrainingData, options: JobOptions = {}): Promise<TrainingResult> {
  const { modules, scaling, settings, base } = job
  const adapter = job.initial
    ? continuedAdapter(base, { modules, scaling, adapter: job.initial })
    : initialAdapter(base, { modules, scaling, seed: settings.seed })
  const adapters = job.globalAdapter ? [job.globalAdapter] : []
  const model = createLlama(base, { adapters, precision: settings.compute, positions: settings.context })
  const state = { model, settings, adapter, trained: createTrained(adapter) }
  const { from, last, tokensPerSecond } = await runSteps(job, { state, data }, options)
  return {
    ...{ adapter, tokensPerSecond, dataTokens: data.tokens, dataExamples: data.examples },
    ...{ steps: last.step, firstLoss: last.firstLoss, lastLoss: last.lastLoss, resumedFromStep: from.step },
  }
}

async function runSteps(
  job: TrainingJob,
  { state, data }: { state: TrainingState; data: TrainingData },
  options: JobOptions,
): Promise<{ from: CheckpointState; last: CheckpointState; tokensPerSecond: number }> {
  const { steps, accumulate } = job.settings
  const fingerprint = job.checkpoint ? jobFingerprint(job, data.identity) : ""
  const loaded = job.checkpoint && (await loadCheckpoint(job.checkpoint.path, fingerprint, state.trained))
  const from = loaded ?? { step: 0, firstLoss: 0, lastLoss: 0 }
  let last = from
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
    if (job.checkpoint && (last.step % job.checkpoint.everySteps === 0 || last.step === steps))
      await saveCheckpoint(job.checkpoint.path, fingerprint, last, state.trained)
    await setImmediate() // an abort arrives as a message, and messages wait for the thread
    options.signal?.throwIfAborted()
  }
  return { from, last, tokensPerSecond: seconds === 0 ? 0 : tokens / seconds }
}

/** RECIPE_INVALID with one line per setting out of range: a job may come from a plan of another machine. */
function checkSettings({ settings, base, checkpoint }: TrainingJob): void {
  const whole = (value: number, min: number): boolean => Number.isSafeInteger(value) && value >= min
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
    ["dropout", settings.dropout >= 0 && settings.dropout < 1, "0 <= dropout < 1"] as const,
    ["seed", whole(settings.seed, 0) && settings.seed < 2 ** 32, "a uint32"] as const,
  ].filter(([, good]) => !good)
  const lines = problems.map(([key, , expected]) => `training.${key}: expected ${expected}, got ${settings[key]}`)
  if (checkpoint && !whole(checkpoint.everySteps, 1))
    lines.push(`checkpoint.everySteps: expected a whole number of at least 1, got ${checkpoint.everySteps}`)
  if (lines.length > 0) throw new LaminaError("RECIPE_INVALID", lines.join("\n"))
}
