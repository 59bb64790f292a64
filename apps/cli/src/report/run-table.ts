import { formatBytes, percent } from "../output/table.js"
import { htmlTable } from "./html.js"
import type { ClientOutcome, ReportedRun } from "./simulation-report.js"
import { formatTime } from "./statistics.js"

/** Every outcome, the order of tables and bars. */
export const OUTCOMES: readonly ClientOutcome[] = [
  ...(["accepted", "late", "dropped", "out-of-memory", "rejected", "failed"] as const),
]

const WHAT: Readonly<Record<ClientOutcome, string>> = {
  ...{ accepted: "updates", late: "updates", rejected: "updates" },
  ...{ dropped: "clients", failed: "clients", "out-of-memory": "clients" },
}

/** Runs side by side, a column each. */
export function runTable(runs: readonly ReportedRun[]): string {
  const rows = MEASURES.map(({ name, of }) => [name, ...runs.map((run) => of(run) ?? "-")])
  const outcomes = OUTCOMES.map((outcome) => [
    `${WHAT[outcome]} ${outcome}`,
    ...runs.map((run) => countOutcome(run, outcome)),
  ])
  const shown = [...rows, ...outcomes.filter((row) => row.slice(1).some((count) => count !== 0))]
  return htmlTable(
    ["", ...runs.map(({ name }) => name)],
    shown.filter((row) => row.slice(1).some((cell) => cell !== "-")),
  )
}

/** The rounds whose updates counted. */
export function closedRounds(rounds: ReportedRun["rounds"]): ReportedRun["rounds"] {
  return rounds.filter(({ abandoned }) => abandoned !== true)
}

/** A round whose updates were scored, the last one. */
export function lastScored(run: ReportedRun): ReportedRun["rounds"][number] | undefined {
  return run.rounds.findLast(({ heldOut }) => heldOut !== undefined)
}

const MEASURES: readonly { name: string; of: (run: ReportedRun) => string | number | undefined }[] = [
  { name: "strategy", of: ({ strategy }) => strategy },
  { name: "clients", of: ({ clients }) => clients.length },
  { name: "rounds closed", of: ({ rounds }) => closedRounds(rounds).length },
  { name: "rounds abandoned", of: ({ rounds }) => rounds.length - closedRounds(rounds).length || undefined },
  { name: "held-out loss of the base", of: ({ base }) => base?.loss.toFixed(4) },
  { name: "held-out loss at the end", of: (run) => lastScored(run)?.heldOut?.loss.toFixed(4) },
  { name: "held-out accuracy of the base", of: ({ base }) => base && percent(base.accuracy, 1) },
  {
    name: "held-out accuracy at the end",
    of: (run) => {
      const score = lastScored(run)?.heldOut
      return score && percent(score.accuracy, 1)
    },
  },
  { name: "virtual time", of: ({ rounds }) => formatTime(rounds.at(-1)?.closedMs ?? 0) },
  { name: "sent by clients", of: ({ rounds }) => formatBytes(total(rounds, ({ bytesUp }) => bytesUp)) },
  { name: "fetched by clients", of: ({ rounds }) => formatBytes(total(rounds, ({ bytesDown }) => bytesDown)) },
  { name: "largest error of the strategy", of: ({ rounds }) => largest(rounds, (round) => round.strategyError) },
  { name: "largest error of compression", of: ({ rounds }) => largest(rounds, (round) => round.compressionError) },
  { name: "largest rank stacked", of: ({ rounds }) => Math.max(0, ...rounds.map(({ stackedRank }) => stackedRank)) },
  { name: "rank of the global adapter at the end", of: ({ rounds }) => rounds.at(-1)?.rank },
]

type Rounds = ReportedRun["rounds"]

function total(rounds: Rounds, of: (round: Rounds[number]) => number): number {
  return rounds.reduce((sum, round) => sum + of(round), 0)
}

function largest(rounds: Rounds, of: (round: Rounds[number]) => number): string {
  const error = Math.max(0, ...rounds.map(of))
  return error === 0 ? "0" : error.toExponential(1)
}

function countOutcome({ rounds }: ReportedRun, outcome: ClientOutcome): number {
  return total(rounds, ({ clients }) => clients.filter((turn) => turn.outcome === outcome).length)
}
