import { availableParallelism } from "node:os"
import { join } from "node:path"

import type { ModulePlan } from "@lamina/protocol"
import type { Calibration, LoraModule, TrainingJob, TrainingSettings, TunerPool } from "@lamina/tuner"

import type { TrainedUpdate, Trainer, TrainerContext, TrainingTask } from "./trainer.js"

export interface TunerTrainerOptions {
  /** Workers shared with others (many clients of one process); whoever made the pool closes it. */
  readonly pool?: TunerPool
  /** Jobs side by side in a pool of its own. Default 1: a client trains one round at a time. */
  readonly workers?: number
  /** Threads of the native kernels. Default: one per core. */
  readonly threads?: number
  /**
   * Arithmetic of the big products; sums, adapters and optimizer state are f32 in any case. Default: bf16, as it is
   * faster where the CPU has it. int8 (activations and weights rounded to 8 bits) is faster still where
   * the CPU has VNNI.
   */
  readonly compute?: "f32" | "bf16" | "int8"
}

/** Half a minute of work is what a kill may cost, on a machine that needs a few seconds for a step. */
const CHECKPOINT_STEPS = 5

/** Pool -> its one measurement. */
const measured = new WeakMap<TunerPool, Promise<Calibration>>()
/** Pools of their own with the same kernels on the same machine measure alike: once per process. */
let measuredAlone: Promise<Calibration> | undefined

/**
 * The default trainer: LoRA training by @lamina/tuner in worker threads, on one copy of the base per process and
 * precision, with a checkpoint every five steps in the round's work folder. The pool starts at first use.
 */
export function createTunerTrainer(options: TunerTrainerOptions = {}): Trainer {
  const { workers = 1, threads = availableParallelism(), compute = "bf16" } = options
  let own: Promise<TunerPool> | undefined
  const pool = (): Promise<TunerPool> =>
    options.pool ? Promise.resolve(options.pool) : (own ??= openPool({ workers, threads }))
  return {
    calibrate: async () => {
      const used = await pool()
      const speed = options.pool
        ? remembered(used)
        : (measuredAlone ??= measure(used).catch((error: unknown) => {
            measuredAlone = undefined
            throw error
          }))
      return await speed
    },
    countExamples: async (data) => {
      const { readDocuments } = await import("@lamina/tuner")
      let count = 0
      for await (const document of readDocuments(data)) if (!document.continues) count += 1
      return count
    },
    train: async (task, context) => trainWith(await pool(), { ...task, compute }, context),
    close: async () => {
      await (await own)?.close()
      own = undefined
    },
  }
}

// tuner and kernels load at first use: a program with a trainer of its own never pays for them
async function openPool(options: { workers: number; threads: number }): Promise<TunerPool> {
  const { createTunerPool } = await import("@lamina/tuner")
  return createTunerPool(options)
}

async function measure(pool: TunerPool): Promise<Calibration> {
  const { measureSpeed } = await import("./calibration.js")
  return measureSpeed(pool)
}

function remembered(pool: TunerPool): Promise<Calibration> {
  const known = measured.get(pool) ?? measure(pool)
  measured.set(pool, known)
  known.catch(() => measured.delete(pool))
  return known
}

type ComputedTask = TrainingTask & { readonly compute: TrainingSettings["compute"] }

async function trainWith(pool: TunerPool, task: ComputedTask, context: TrainerContext): Promise<TrainedUpdate> {
  context.signal.throwIfAborted()
  const { sharedBase } = await import("@lamina/tuner")
  const base = await sharedBase(task.baseFolder, task.plan.precision)
  const result = await pool.train(jobOf(task, base), {
    signal: context.signal,
    onProgress: ({ step, steps, loss, tokensPerSecond }) => context.onProgress({ step, steps, loss, tokensPerSecond }),
  })
  const { adapter, dataTokens, dataExamples, firstLoss, lastLoss, tokensPerSecond, scores } = result
  const metrics = { firstLoss, lastLoss, tokensPerSecond }
  return { adapter, dataTokens, dataExamples, metrics, ...(scores && { scores }) }
}

function jobOf(
  { plan, globalAdapter, initial, data, workFolder, compute }: ComputedTask,
  base: TrainingJob["base"],
): TrainingJob {
  const { modules, scaling, steps, batch, context, accumulate, learningRate, schedule, warmupSteps } = plan
  const { clipNorm, weightDecay, lossOn, dropout, seed, gradientCheckpointing } = plan
  const { initSeed, freezeA, proximal, reportScores, mergeGlobal } = plan
  const settings: TrainingSettings = {
    ...{ steps, batch, context, accumulate, learningRate, schedule, warmupSteps },
    ...{ clipNorm, weightDecay, lossOn, dropout, seed, compute, gradientCheckpointing },
    ...{ initSeed, freezeA, proximal, reportScores, mergeGlobal },
  }
  const checkpoint = { path: join(workFolder, "checkpoint"), everySteps: CHECKPOINT_STEPS }
  const start = { ...(globalAdapter && { globalAdapter }), ...(initial && { initial }) }
  return { base, modules: modules.map(trained), scaling, settings, data, checkpoint, ...start }
}

/** startRank is in `initial` already. */
function trained({ name, outFeatures, inFeatures, rank, alpha }: ModulePlan): LoraModule {
  return { name, outFeatures, inFeatures, rank, alpha }
}
