import { spectrum } from "@lamina/aggregation"
import { compareNames } from "@lamina/protocol"
import type { Recipe } from "@lamina/protocol/recipe"
import type { RoundView } from "@lamina/server"

import type { ReportedRound, ReportedRun, ReportedScore, ReportedTurn } from "../report/simulation-report.js"
import type { Schedule } from "./device-time.js"
import type { Scores } from "./held-out.js"
import type { SimulationResult } from "./simulation.js"
import { VIRTUAL_START_MS } from "./virtual-clock.js"

/** What a simulation came to, as the report shows it: nothing of it depends on keys, folders or the time of day. */
export function reportedRun(name: string, recipe: Recipe, result: SimulationResult): ReportedRun {
  const turns = turnsByRound(result)
  const scores = new Map(result.scores.map(({ round, scores: of }) => [round, reportedScore(of)]))
  const base = scores.get(0)
  const rowsOf = new Map(result.population?.map((rows) => [rows.name, rows.trainRows]))
  const members = result.views.flatMap((view) => view.members)
  const planned = new Map(members.map(({ client, precision }) => [client, precision])) // the last plan's
  return {
    name,
    strategy: recipe.strategy,
    ...(base ? { base } : {}),
    rounds: result.views
      .filter(({ state }) => state === "published" || state === "abandoned")
      .map((view) => reportedRound(view, turns.get(view.round) ?? [], scores.get(view.round))),
    spectrum: spectrum(result.globalAdapter),
    clients: result.clients.map(({ name: client, device, rank, precision, tokens }) => {
      const rows = rowsOf.get(client)
      const held = planned.get(client) ?? precision
      const counts = { ...(tokens === undefined ? {} : { tokens }), ...(rows === undefined ? {} : { rows }) }
      return { name: client, device, rank, precision: held, ...counts }
    }),
    ...(result.population ? { partition: result.population } : {}),
  }
}

/** Totals of a run, abandoned rounds with the others. */
export function runTotals({ rounds }: ReportedRun): {
  bytesUp: number
  bytesDown: number
  virtualSeconds: number
  strategyError: number
} {
  const sum = (of: (round: ReportedRound) => number) => rounds.reduce((total, round) => total + of(round), 0)
  return {
    bytesUp: sum(({ bytesUp }) => bytesUp),
    bytesDown: sum(({ bytesDown }) => bytesDown),
    virtualSeconds: (rounds.at(-1)?.closedMs ?? 0) / 1_000,
    strategyError: Math.max(0, ...rounds.map(({ strategyError }) => strategyError)),
  }
}

function reportedRound(view: RoundView, turns: readonly ReportedTurn[], heldOut?: ReportedScore): ReportedRound {
  const { report } = view
  return {
    round: view.round,
    ...(view.state === "abandoned" ? { abandoned: true } : {}),
    openedMs: view.openedMs - VIRTUAL_START_MS,
    closedMs: (view.endedMs ?? view.openedMs) - VIRTUAL_START_MS,
    bytesUp: turns.reduce((sum, { bytesUp }) => sum + bytesUp, 0),
    bytesDown: turns.reduce((sum, { bytesDown }) => sum + bytesDown, 0),
    ...(heldOut ? { heldOut } : {}),
    clients: turns,
    strategyError: report?.strategyError ?? 0,
    compressionError: report?.compressionError ?? 0,
    stackedRank: report?.stackedRank ?? 0,
    rank: report?.rank ?? 0,
    coverage: report?.coverage ?? [],
  }
}

function turnsByRound({ history, clients, views }: SimulationResult): Map<number, ReportedTurn[]> {
  const devices = new Map(clients.map(({ name, device }) => [name, device]))
  const members = new Map(
    views.flatMap(({ round, members }) => members.map((member) => [`${round} ${member.client}`, member])),
  )
  const turns = new Map<number, ReportedTurn[]>()
  for (const { schedule, row } of history.clients()) {
    const member = members.get(`${row.round} ${row.client}`)
    // what the coordinator was told: a step is history only once it is written
    const loss = member?.metrics?.lastLoss
    const sent = row.outcome === "accepted" || row.outcome === "rejected"
    const turn: ReportedTurn = {
      name: row.client,
      device: devices.get(row.client) ?? "default",
      rank: member?.rank ?? 0,
      outcome: row.outcome,
      startMs: schedule.startMs - VIRTUAL_START_MS,
      ...phasesOf(schedule),
      endMs: schedule.endMs - VIRTUAL_START_MS,
      bytesUp: sent ? schedule.bytesUp : 0,
      bytesDown: Math.round(downloadedShare(schedule) * schedule.bytesDown),
      memoryBytes: schedule.memoryBytes,
      ...(row.staleness === undefined ? {} : { staleness: row.staleness }),
      ...(loss === undefined ? {} : { loss }),
    }
    turns.set(
      row.round,
      [...(turns.get(row.round) ?? []), turn].sort((a, b) => compareNames(a.name, b.name)),
    )
  }
  return turns
}

/** How much of its download a device came to: less than all where it was gone before. */
function downloadedShare({ fate, startMs, downloadedMs, endMs }: Schedule): number {
  return fate === "drops" && endMs < downloadedMs ? (endMs - startMs) / (downloadedMs - startMs) : 1
}

/** Phases a device came to the end of. */
function phasesOf({ fate, downloadedMs, trainedMs, endMs }: Schedule) {
  return {
    ...(downloadedMs < endMs || fate === "arrives" ? { downloadedMs: downloadedMs - VIRTUAL_START_MS } : {}),
    ...(trainedMs < endMs || fate === "arrives" ? { trainedMs: trainedMs - VIRTUAL_START_MS } : {}),
  }
}

function reportedScore({ overall, perClient }: Scores): ReportedScore {
  return { loss: overall.loss, accuracy: overall.accuracy, perClient }
}
