import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"
import { moduleShapes, sharedBase } from "@lamina/tuner"
import type { Base, DataSource, TrainingJob } from "@lamina/tuner"

import { dataOfFiles } from "../data-options.js"
import { modelPath } from "../model-path.js"
import type { TrainOptions, TrainRequest } from "./train-options.js"

/** Rows longer than this cost more memory than most data needs. */
const CONTEXT = 512
/** Passes where neither passes nor steps are given. */
const EPOCHS = 3
/** Steps after which the schedule is at its peak: AdamW's second moments need a few. */
const WARMUP_STEPS = 5

/** The job of a request; loads the model. USAGE, NOT_FOUND, FILE_UNREADABLE and the codes of a base. */
export async function trainingJob({ model, options }: TrainRequest): Promise<TrainingJob> {
  const sources = dataSources(options)
  if (options.steps !== undefined && options.epochs !== undefined)
    throw new LaminaError("USAGE", "train: expected --steps or --epochs, got both")
  const base = await sharedBase(await modelPath(model), options.precision)
  const { rank } = options
  const alpha = options.alpha ?? 2 * rank
  const targets = options.targetModules ?? LINEARS
  const { evalEvery } = options
  return {
    base,
    modules: moduleShapes(base.config, targets).map((shape) => ({ ...shape, rank, alpha })),
    scaling: options.rslora ? "rslora" : "lora",
    settings: trainingSettings(options, base),
    ...(options.steps === undefined ? { epochs: options.epochs ?? EPOCHS } : {}),
    data: sources.data,
    ...(sources.heldOut
      ? { heldOut: { data: sources.heldOut, ...(evalEvery === undefined ? {} : { everySteps: evalEvery }) } }
      : {}),
    checkpoint: { path: join(options.out, "checkpoint"), everySteps: options.saveEvery },
  }
}

const LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

function trainingSettings(options: TrainOptions, base: Base): TrainingJob["settings"] {
  const { batch, accumulate, learningRate, schedule, clipNorm, weightDecay, lossOn, dropout, seed, compute } = options
  return {
    ...{ batch, accumulate, learningRate, schedule, clipNorm, weightDecay, lossOn, dropout, seed, compute },
    steps: options.steps ?? 1,
    context: options.context ?? Math.min(CONTEXT, base.config.context),
    warmupSteps: options.warmupSteps ?? WARMUP_STEPS,
  }
}

function dataSources(options: TrainOptions): { data: DataSource; heldOut?: DataSource } {
  const { data: files, evalData, evalSplit, patience, seed } = options
  if (files === undefined) throw new LaminaError("USAGE", "train: expected --data, got none")
  if (evalData !== undefined && evalSplit !== undefined)
    throw new LaminaError("USAGE", "train: expected --eval-data or --eval-split, got both")
  if (patience !== undefined && evalData === undefined && evalSplit === undefined)
    throw new LaminaError("USAGE", "train: --patience needs --eval-data or --eval-split, got neither")
  const data = dataOfFiles(files, options)
  if (evalData !== undefined) return { data, heldOut: dataOfFiles(evalData, options) }
  if (evalSplit === undefined) return { data }
  const part = { share: evalSplit, seed }
  return {
    data: { ...data, part: { ...part, heldOut: false } },
    heldOut: { ...data, part: { ...part, heldOut: true } },
  }
}
