import { LaminaError } from "@lamina/protocol/errors"

import { appendText, readIfThereSync, writeTextSync } from "../output/files.js"

/** A line of `metrics.jsonl`. Step 0 is the model before any training; losses are nats per token. */
type TrainRow =
  | {
      readonly kind: "step"
      readonly step: number
      readonly loss: number
      readonly learningRate: number
      readonly tokensPerSecond: number
    }
  | {
      readonly kind: "heldOut"
      readonly step: number
      readonly loss: number
      readonly perplexity: number
      readonly tokens: number
    }
type StepRow = Extract<TrainRow, { kind: "step" }>
export type HeldOutRow = Extract<TrainRow, { kind: "heldOut" }>

/**
 * The record of a training: appended as things happen, read again when it goes on. A step that is done twice, as after
 * a crash, counts as it was done last.
 */
export class TrainHistory {
  readonly #path: string
  readonly #steps = new Map<number, StepRow>()
  readonly #heldOut = new Map<number, HeldOutRow>()

  /** FILE_UNREADABLE for a file that is no such record. */
  constructor(path: string) {
    this.#path = path
    for (const row of readRows(path)) this.#keep(row)
  }

  /** FILE_UNWRITABLE, STORAGE_FULL. */
  add(row: TrainRow): void {
    this.#keep(row)
    appendText(this.#path, `${JSON.stringify(row)}\n`)
  }

  /** By step. */
  steps(): StepRow[] {
    return sorted(this.#steps)
  }

  /** By step. */
  heldOut(): HeldOutRow[] {
    return sorted(this.#heldOut)
  }

  /** The score with the least loss, the first of several. */
  best(): HeldOutRow | undefined {
    return this.heldOut().reduce<HeldOutRow | undefined>(
      (best, row) => (best === undefined || row.loss < best.loss ? row : best),
      undefined,
    )
  }

  /** Scores since the best one: `patience` of them and training gets nowhere. */
  scoresWithoutGain(): number {
    const best = this.best()
    return best === undefined ? 0 : this.heldOut().filter(({ step }) => step > best.step).length
  }

  #keep(row: TrainRow): void {
    if (row.kind === "step") this.#steps.set(row.step, row)
    else this.#heldOut.set(row.step, row)
  }
}

function sorted<Row extends { readonly step: number }>(rows: ReadonlyMap<number, Row>): Row[] {
  return [...rows.values()].sort((left, right) => left.step - right.step)
}

/** A last line that a crash cut off is dropped. */
function readRows(path: string): TrainRow[] {
  const text = readIfThereSync(path) ?? ""
  const complete = text.slice(0, text.lastIndexOf("\n") + 1)
  if (complete.length < text.length) writeTextSync(path, complete)
  const lines = complete.split("\n").slice(0, -1)
  return lines.map((line, index) => parseRow(line, `${path}:${index + 1}`))
}

function parseRow(line: string, where: string): TrainRow {
  let row: unknown
  try {
    row = JSON.parse(line)
  } catch {
    row = undefined
  }
  if (isTrainRow(row)) return row
  throw new LaminaError("FILE_UNREADABLE", `${where}: expected a step or a held-out score, got another line`, {
    hint: "use another --out folder, or --fresh",
  })
}

function isTrainRow(row: unknown): row is TrainRow {
  if (typeof row !== "object" || row === null) return false
  const { kind, step, loss } = row as Partial<TrainRow>
  return (kind === "step" || kind === "heldOut") && Number.isInteger(step) && Number.isFinite(loss)
}
