import { join, resolve } from "node:path"

import { writePeftAdapter } from "@lamina/tuner"
import type { HeldOutScore, TrainingJob, TrainingResult } from "@lamina/tuner"
import type { Command } from "commander"

import { untilInterrupted } from "../interrupt.js"
import { counted } from "../output/counted.js"
import { writeText } from "../output/files.js"
import { printJson } from "../output/json.js"
import { openPool } from "../pool.js"
import { nextCommands } from "../train/next-commands.js"
import { expectSameTraining, openTrainFolder, settingsOf } from "../train/train-folder.js"
import type { TrainFolder } from "../train/train-folder.js"
import { trainingJob } from "../train/train-job.js"
import { trainRequest } from "../train/train-options.js"
import type { TrainRequest } from "../train/train-options.js"
import { writeTrainReport } from "../train/train-report.js"
import { clockTime, trainView } from "../train/train-view.js"
import type { TrainView } from "../train/train-view.js"
import { Writes } from "../train/writes.js"

/**
 * `lamina train`: LoRA on this machine alone. Leaves the adapter (the one with the best held-out loss where there is
 * held-out data), metrics.jsonl, report.html and result.json in the out folder; run again there, it goes on.
 */
export async function trainCommand(model: string | undefined, command: Command): Promise<void> {
  const given = await trainRequest(model, command)
  const request = { ...given, options: { ...given.options, out: resolve(given.options.out) } }
  const settings = await settingsOf(request)
  await expectSameTraining(request.options, settings)
  const job = await trainingJob(request)
  const folder = await openTrainFolder(request.options, settings)
  const started = performance.now()
  const view = trainView(process.stderr)
  const result = await untilInterrupted((signal) => train(request, { job, folder, view, signal })).finally(() =>
    view.close(),
  )
  const summary = summarize(request, { folder, result, wallSeconds: (performance.now() - started) / 1000 })
  const { adapter, report } = folder
  await writeTrainReport(report, folder.history, { model: request.model, adapter, settings })
  await writeText(join(request.options.out, "result.json"), `${JSON.stringify(summary, undefined, 2)}\n`)
  if (request.options.json) printJson(summary)
  else printSummary(request, summary)
}

interface Setting {
  readonly job: TrainingJob
  readonly folder: TrainFolder
  readonly view: TrainView
  readonly signal: AbortSignal
}

/** Undefined when the last scores have been no better for as long as `patience` allows. */
async function train(request: TrainRequest, setting: Setting): Promise<TrainingResult | undefined> {
  const { job, folder, view, signal } = setting
  const { patience = Infinity, threads, backend } = request.options
  const { history } = folder
  const save = (adapter: HeldOutScore["adapter"]): Promise<void> =>
    writePeftAdapter(folder.adapter, adapter, { baseName: request.model })
  if (history.scoresWithoutGain() >= patience) return undefined
  const pool = await openPool({ backend, ...(threads === undefined ? {} : { threads }) })
  const ended = new AbortController()
  const writes = new Writes(() => ended.abort())
  const onHeldOut = ({ step, loss, perplexity, tokens, adapter }: HeldOutScore): void => {
    const row = { kind: "heldOut", step, loss, perplexity, tokens } as const
    writes.now(() => history.add(row))
    view.heldOut(row)
    if (history.best()?.step === step) writes.next(() => save(adapter))
    if (history.scoresWithoutGain() >= patience) ended.abort()
  }
  try {
    view.note(`kernels ${pool.kernels}`)
    const result = await pool
      .train(job, {
        signal: AbortSignal.any([signal, ended.signal]),
        onNote: (note) => view.note(note),
        onProgress: (progress) => {
          const { step, loss, learningRate, tokensPerSecond } = progress
          writes.now(() => history.add({ kind: "step", step, loss, learningRate, tokensPerSecond }))
          view.step(progress)
        },
        onHeldOut,
      })
      .catch((error: unknown) => {
        if (ended.signal.aborted && !signal.aborted) return undefined
        throw error
      })
    if (history.best() === undefined && result) writes.next(() => save(result.adapter))
    await writes.done()
    return result
  } finally {
    await writes.done().finally(() => pool.close())
  }
}

interface TrainSummary {
  readonly model: string
  readonly steps: number
  readonly stoppedEarly: boolean
  readonly firstLoss: number
  readonly lastLoss: number
  readonly heldOut?: {
    readonly before?: number
    readonly best: number
    readonly bestStep: number
    readonly last: number
  }
  readonly dataTokens?: number
  readonly dataExamples?: number
  readonly tokensPerSecond: number
  readonly wallSeconds: number
  readonly adapter: string
  readonly metrics: string
  readonly report: string
}

function summarize(
  { model }: TrainRequest,
  { folder, result, wallSeconds }: { folder: TrainFolder; result: TrainingResult | undefined; wallSeconds: number },
): TrainSummary {
  const { history, adapter, metrics, report } = folder
  const steps = history.steps()
  const scores = history.heldOut()
  const best = history.best()
  const before = scores.find(({ step }) => step === 0)?.loss
  const rates = steps.map(({ tokensPerSecond }) => tokensPerSecond).sort((left, right) => left - right)
  return {
    ...{ model, steps: steps.at(-1)?.step ?? 0, stoppedEarly: result === undefined },
    ...{ firstLoss: steps[0]?.loss ?? 0, lastLoss: steps.at(-1)?.loss ?? 0 },
    ...(best
      ? { heldOut: { before, best: best.loss, bestStep: best.step, last: scores.at(-1)?.loss ?? best.loss } }
      : {}),
    ...(result ? { dataTokens: result.dataTokens, dataExamples: result.dataExamples } : {}),
    ...{ tokensPerSecond: rates[Math.floor(rates.length / 2)] ?? 0, wallSeconds, adapter, metrics, report },
  }
}

function printSummary(request: TrainRequest, summary: TrainSummary): void {
  const { steps, heldOut, adapter, report, wallSeconds, stoppedEarly } = summary
  const early = stoppedEarly ? ", held-out loss got no better" : ""
  const trained = `${counted(steps, "step")} in ${clockTime(wallSeconds)}${early}`
  const lines = [`trained  ${trained}, loss ${summary.lastLoss.toFixed(4)}`]
  if (heldOut) {
    const before = heldOut.before === undefined ? "" : `${heldOut.before.toFixed(4)} before, `
    lines.push(`held-out ${before}${heldOut.best.toFixed(4)} at step ${heldOut.bestStep}, which the adapter is from`)
  }
  const next = nextCommands(request, adapter).map((line) => `  ${line}`)
  lines.push(`adapter  ${adapter}`, `report   ${report}`, "next:", ...next)
  process.stdout.write(`${lines.join("\n")}\n`)
}
