import { resolve } from "node:path"

import cliProgress from "cli-progress"

import { LaminaError } from "@lamina/protocol/errors"
import { quantizeModel } from "@lamina/tuner"
import type { BasePrecision, QuantizedTensor } from "@lamina/tuner"

import { matchesGlob } from "../../hub/match-file.js"
import { untilInterrupted } from "../../interrupt.js"
import { modelPath } from "../../model-path.js"
import { printJson } from "../../output/json.js"
import { formatBytes, renderTable } from "../../output/table.js"

interface QuantizeOptions {
  readonly format: Exclude<BasePrecision, "stored">
  readonly out: string
  readonly keep?: readonly string[]
  readonly json?: boolean
}

/** `lamina model quantize`: a folder in another format, and the error that it made per tensor. */
export async function quantizeCommand(model: string, options: QuantizeOptions): Promise<void> {
  const path = await modelPath(model)
  const out = resolve(options.out)
  const globs = options.keep ?? []
  const tensors: QuantizedTensor[] = []
  const bar = progressBar(process.stderr)
  try {
    await untilInterrupted((signal) =>
      quantizeModel(path, out, {
        ...{ format: options.format, signal },
        keep: (linears) => new Set(globs.flatMap((glob) => linearsLike(glob, linears))),
        onTensor: (tensor, { done, of }) => {
          tensors.push(tensor)
          bar.update({ name: tensor.name, done, of })
        },
      }),
    )
  } finally {
    bar.close()
  }
  report(tensors, { model, out, format: options.format, json: options.json === true })
}

function linearsLike(glob: string, linears: readonly string[]): string[] {
  const found = linears.filter((name) => matchesGlob(name, glob))
  if (found.length > 0) return found
  throw new LaminaError("USAGE", `--keep ${glob}: expected the name of a linear, the model has none like it`, {
    hint: `it has ${linears[0]} and ${linears.length - 1} more: lamina model inspect --tensors, without .weight`,
  })
}

interface Summary {
  readonly model: string
  readonly out: string
  readonly format: string
  readonly json: boolean
}

function report(tensors: readonly QuantizedTensor[], { model, out, format, json }: Summary): void {
  const total = (pick: (tensor: QuantizedTensor) => number): number =>
    tensors.reduce((sum, each) => sum + pick(each), 0)
  const errorSq = total((tensor) => tensor.errorSq)
  const relativeError = errorSq === 0 ? 0 : Math.sqrt(errorSq / total((tensor) => tensor.normSq))
  const worst = tensors.reduce((most, each) => (each.relativeError > most.relativeError ? each : most), tensors[0]!)
  const bytes = total((tensor) => tensor.bytes)
  if (json) {
    const listed = tensors.map(({ name, from, to, rows, cols, bytes: size, relativeError: error }) => ({
      ...{ name, from, to, rows, cols, bytes: size, relativeError: error },
    }))
    return printJson({ model, out, format, bytes, relativeError, worst: worst.name, tensors: listed })
  }
  const rows = tensors.map((tensor) => [
    ...[tensor.name, `${tensor.from} to ${tensor.to}`, `${tensor.rows} x ${tensor.cols}`, formatBytes(tensor.bytes)],
    shownError(tensor.relativeError),
  ])
  process.stdout.write(`${renderTable(["linear", "format", "shape", "size", "relative error"], rows)}\n\n`)
  process.stdout.write(
    `relative error ${shownError(relativeError)} in all, worst ${shownError(worst.relativeError)} in ${worst.name}\n`,
  )
  process.stdout.write(`${formatBytes(bytes)} of linears in ${out}\n`)
}

function shownError(error: number): string {
  return error === 0 ? "exact" : `${(100 * error).toPrecision(3)} %`
}

interface Progress {
  update(progress: { name: string; done: number; of: number }): void
  close(): void
}

/** A bar on a terminal; a pipe gets nothing, the table comes at the end. */
function progressBar(stream: NodeJS.WriteStream): Progress {
  if (!stream.isTTY) return { update: () => {}, close: () => {} }
  const format = "  {bar} {done}/{of}  {name}"
  const bar = new cliProgress.SingleBar(
    { stream, format, hideCursor: true, barsize: 24, clearOnComplete: true },
    cliProgress.Presets.rect,
  )
  let started = false
  return {
    update: ({ name, done, of }) => {
      if (!started) bar.start(of, 0, { name, done, of })
      started = true
      bar.update(done, { name, done, of })
    },
    close: () => bar.stop(),
  }
}
