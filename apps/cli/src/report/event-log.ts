import { writeFile } from "node:fs/promises"
import { join } from "node:path"

import { writeFailure } from "../output/files.js"
import { makeFolder } from "../output/folder.js"
import { fileName } from "./file-name.js"
import type { ReportedRound, ReportedRun, ReportedScore } from "./simulation-report.js"
import { encodeEvents, eventFileName } from "./tensorboard.js"
import type { ScalarEvent } from "./tensorboard.js"

/**
 * Writes `<folder>/<run>/events.out.tfevents...` of every run for TensorBoard: a scalar for each round, the round as
 * step, virtual time as wall time, so that a run always gives the same bytes. FILE_UNWRITABLE, STORAGE_FULL.
 */
export async function writeEventLogs(folder: string, runs: readonly ReportedRun[]): Promise<void> {
  for (const run of runs) {
    const home = join(folder, fileName(run.name))
    await makeFolder(home)
    const path = join(home, eventFileName({ seconds: 0, host: "lamina" }))
    await writeFile(path, encodeEvents(eventsOf(run))).catch((cause: unknown) => {
      throw writeFailure(path, cause)
    })
  }
}

function eventsOf({ base, rounds }: ReportedRun): ScalarEvent[] {
  const begin = base === undefined ? [] : eventsAt({ step: 0, ms: 0 }, scoreScalars(base))
  return [...begin, ...rounds.flatMap((round) => eventsAt({ step: round.round, ms: round.closedMs }, scalars(round)))]
}

function eventsAt({ step, ms }: { step: number; ms: number }, values: Readonly<Record<string, number>>): ScalarEvent[] {
  return Object.entries(values).map(([tag, value]) => ({ tag, step, wallTimeSeconds: ms / 1000, value }))
}

function scalars(round: ReportedRound): Record<string, number> {
  const { clients, heldOut } = round
  const losses = clients.flatMap(({ outcome, loss }) => (outcome === "accepted" ? (loss ?? []) : []))
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length
  return {
    ...(heldOut === undefined ? {} : scoreScalars(heldOut)),
    ...(losses.length === 0 ? {} : { "training/loss": mean }),
    "round/seconds": (round.closedMs - round.openedMs) / 1000,
    "round/clients": clients.length,
    "round/accepted": clients.filter(({ outcome }) => outcome === "accepted").length,
    "bytes/up": round.bytesUp,
    "bytes/down": round.bytesDown,
    ...(round.abandoned ? {} : aggregationScalars(round)),
  }
}

function aggregationScalars(round: ReportedRound): Record<string, number> {
  return {
    "error/strategy": round.strategyError,
    "error/compression": round.compressionError,
    "rank/stacked": round.stackedRank,
    "rank/global": round.rank,
  }
}

function scoreScalars({ loss, accuracy, perClient }: ReportedScore): Record<string, number> {
  const losses = Object.values(perClient).map((score) => score.loss)
  return {
    "held-out/loss": loss,
    "held-out/accuracy": accuracy,
    ...(losses.length === 0 ? {} : { "held-out/worst-client": Math.max(...losses) }),
  }
}
