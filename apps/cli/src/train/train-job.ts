import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"
import { loadChatTemplate, moduleShapes, readDocuments, sharedBase } from "@lamina/tuner"
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

/**
 * The job of a request; loads the model and looks at the first document of the data, so that what a user mistypes fails
 * before anything is written. USAGE, RECIPE_INVALID, NOT_FOUND, FILE_UNREADABLE, DATA_* and the codes of a base.
 */
export async function trainingJob({ model, options }: TrainRequest): Promise<TrainingJob> {
  const sources = dataSources(options)
  if (options.steps !== undefined && options.epochs !== undefined)
    throw new LaminaError("USAGE", "train: expected --steps or --epochs, got both")
  const base = await sharedBase(await modelPath(model), options.precision)
  expectContext(options.context, base)
  for (const source of Object.values(sources)) await expectDocument(source, base)
  const { rank } = options
  const alpha = options.alpha ?? 2 * rank
  const targets = targetModules(options)
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

/** A recipe's word for every linear of a block, which a command line has as a list of one. */
function targetModules({ targetModules: given }: TrainOptions): "all-linear" | readonly string[] {
  return given === undefined || (given.length === 1 && given[0] === "all-linear") ? "all-linear" : given
}

function trainingSettings(options: TrainOptions, base: Base): TrainingJob["settings"] {
  const { batch, accumulate, learningRate, schedule, clipNorm, weightDecay, lossOn, dropout, seed, compute } = options
  return {
    ...{ batch, accumulate, learningRate, schedule, clipNorm, weightDecay, lossOn, dropout, seed, compute },
    steps: options.steps ?? 1,
    context: options.context ?? Math.min(CONTEXT, base.config.context),
    warmupSteps: options.warmupSteps ?? WARMUP_STEPS,
    gradientCheckpointing: options.gradientCheckpointing ?? false,
  }
}

function expectContext(context: number | undefined, { config, folder }: Base): void {
  if (context === undefined || (context >= 2 && context <= config.context)) return
  throw new LaminaError("USAGE", `--context: expected 2 to ${config.context}, the context of ${folder}, got ${context}`)
}

async function expectDocument(source: DataSource, { folder }: Base): Promise<void> {
  const documents = readDocuments(source, { template: () => loadChatTemplate(folder) })
  await documents.next() // rejects where there is none
  await documents.return(undefined)
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
