import { join } from "node:path"

import { compareNames } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import { appendText, readIfThereSync, writeTextSync } from "../output/files.js"
import type { Schedule } from "./device-time.js"
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
  | BeginRow
  | ClientRow
  /** Virtual time, ms since 1970: written before anything happens at it. */
  | { readonly kind: "time"; readonly atMs: number }
  | { readonly kind: "scores"; readonly round: number; readonly scores: Scores }

/** A client took up a round; what becomes of it is settled by this line. */
interface BeginRow {
  readonly kind: "begin"
  readonly round: number
  readonly client: string
  readonly schedule: Schedule
}

/** How a round ended for one client. */
export interface ClientRow {
  readonly kind: "client"
  readonly round: number
  readonly client: string
  readonly outcome: ClientOutcome
  /** Virtual time, ms since 1970. */
  readonly atMs: number
  /** Rounds between the one it was trained for and the one that counts it; buffered runs only. */
  readonly staleness?: number
  /** Why it failed or was rejected, as its client was told or found. */
  readonly code?: string
  readonly reason?: string
}
export type ClientOutcome = "accepted" | "late" | "dropped" | "out-of-memory" | "rejected" | "failed"

/** The run's own record: appended as things happen, read again when the run continues. */
export class History {
  readonly rows: HistoryRow[]
  readonly #path: string
  /** Asked for at every event of a simulation. */
  readonly #begun = new Map<string, readonly BeginRow[]>()

  /** FILE_UNREADABLE, and what `add` throws. */
  constructor(folder: string) {
    this.#path = join(folder, "history.jsonl")
    this.rows = readRows(this.#path)
    for (const row of this.#of("begin")) this.#noteBegun(row)
  }

  /** FILE_UNWRITABLE, STORAGE_FULL. */
  add(row: HistoryRow): void {
    this.rows.push(row)
    if (row.kind === "begin") this.#noteBegun(row)
    appendText(this.#path, `${JSON.stringify(row)}\n`)
  }

  /** The last word on every client of every round, in the order of rounds, then names. */
  ends(): ClientRow[] {
    const ends = new Map(this.#of("client").map((row) => [keyOf(row), row]))
    return [...ends.values()].sort((left, right) => left.round - right.round || compareNames(left.client, right.client))
  }

  /** The same of those who came to train. */
  clients(): { readonly schedule: Schedule; readonly row: ClientRow }[] {
    const schedules = new Map(this.#of("begin").map((row) => [keyOf(row), row.schedule]))
    return this.ends().flatMap((row) => {
      const schedule = schedules.get(keyOf(row))
      return schedule ? [{ schedule, row }] : []
    })
  }

  /** Every round a client took up, the newest last. */
  begun(client: string): readonly BeginRow[] {
    return this.#begun.get(client) ?? []
  }

  /** The same of all clients. */
  allBegun(): readonly BeginRow[] {
    return this.#of("begin")
  }

  #noteBegun(row: BeginRow): void {
    this.#begun.set(row.client, [...this.begun(row.client), row])
  }

  /** The latest virtual time anything happened at; undefined for a new run. */
  latestMs(): number | undefined {
    return this.#of("time").at(-1)?.atMs
  }

  #of<K extends HistoryRow["kind"]>(kind: K): (HistoryRow & { kind: K })[] {
    return this.rows.filter((row): row is HistoryRow & { kind: K } => row.kind === kind)
  }

  /** Scores by round; a round that was scored twice (the run was interrupted in between) keeps the last. */
  scores(): { round: number; scores: Scores }[] {
    const byRound = new Map(
      this.rows.flatMap((row) => (row.kind === "scores" ? [[row.round, row.scores] as const] : [])),
    )
    return [...byRound].map(([round, scores]) => ({ round, scores })).sort((left, right) => left.round - right.round)
  }
}

function keyOf({ round, client }: { readonly round: number; readonly client: string }): string {
  return `${round} ${client}`
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
