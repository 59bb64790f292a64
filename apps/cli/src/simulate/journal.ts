import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { appendText, readIfThereSync, writeTextSync } from "../output/files.js"
import type { Scores } from "./held-out.js"

/** One thing that happened in a run, as a line of `<out>/history.jsonl`. Round 0 is the base before any training. */
export type HistoryRow =
  | {
      readonly kind: "step"
      readonly round: number
      readonly client: string
      readonly step: number
      readonly loss: number
    }
  | { readonly kind: "receipt"; readonly round: number; readonly client: string; readonly status: string }
  | { readonly kind: "scores"; readonly round: number; readonly scores: Scores }

/** The run's own record: appended as things happen, read again when the run continues. */
export class History {
  readonly rows: HistoryRow[]
  readonly #path: string

  /** FILE_UNREADABLE, and what `add` throws. */
  constructor(folder: string) {
    this.#path = join(folder, "history.jsonl")
    this.rows = readRows(this.#path)
  }

  /** FILE_UNWRITABLE, STORAGE_FULL. */
  add(row: HistoryRow): void {
    this.rows.push(row)
    appendText(this.#path, `${JSON.stringify(row)}\n`)
  }

  /** Scores by round; a round that was scored twice (the run was interrupted in between) keeps the last. */
  scores(): { round: number; scores: Scores }[] {
    const byRound = new Map(
      this.rows.flatMap((row) => (row.kind === "scores" ? [[row.round, row.scores] as const] : [])),
    )
    return [...byRound].map(([round, scores]) => ({ round, scores })).sort((left, right) => left.round - right.round)
  }
}

/** A last line that was cut off by a crash is dropped: its event was not acknowledged to anybody. */
function readRows(path: string): HistoryRow[] {
  const text = readIfThereSync(path) ?? ""
  const complete = text.slice(0, text.lastIndexOf("\n") + 1)
  if (complete.length < text.length) writeTextSync(path, complete)
  return complete
    .split("\n")
    .filter((line) => line !== "")
    .map((line, i) => parseRow(line, `${path}:${i + 1}`))
}

function parseRow(line: string, where: string): HistoryRow {
  try {
    return JSON.parse(line) as HistoryRow
  } catch (cause) {
    throw new LaminaError("FILE_UNREADABLE", `${where} is not a line of JSON`, {
      cause,
      hint: "use another --out folder",
    })
  }
}
