import { percent } from "../output/table.js"
import { htmlTable } from "./html.js"
import type { ReportedRound, ReportedRun } from "./simulation-report.js"
import { evenly, formatTime, quantile } from "./statistics.js"

/** Rounds in a table; of more, as many evenly. */
const ROWS_MAX = 30

/** Every round: how long it took, when its updates came, what combining and compressing them cost. */
export function roundTable({ rounds }: ReportedRun): string {
  const rows = evenly(rounds, ROWS_MAX).map((round) => [
    round.round,
    `${round.clients.filter(({ outcome }) => outcome === "accepted").length} of ${round.clients.length}`,
    ...[0.5, 0.9].map((q) => endOf(round, q)),
    formatTime(round.closedMs - round.openedMs),
    ...aggregatedCells(round),
    round.heldOut?.loss.toFixed(3) ?? "-",
    round.heldOut ? percent(round.heldOut.accuracy, 1) : "-",
  ])
  const head = ["round", "accepted", "half were in after", "90 % after", "closed after"]
  return htmlTable([...head, "strategy error", "compression error", "rank", "held-out loss", "accuracy"], rows)
}

/** Errors and ranks of its aggregation. */
function aggregatedCells({ abandoned, strategyError, compressionError, stackedRank, rank }: ReportedRound): string[] {
  if (abandoned) return ["-", "-", "abandoned"]
  const errors = [strategyError, compressionError].map((error) => (error === 0 ? "0" : error.toExponential(1)))
  return [...errors, `${stackedRank} to ${rank}`]
}

function endOf({ clients, openedMs }: ReportedRound, q: number): string {
  const ends = clients.flatMap(({ outcome, endMs }) => (outcome === "accepted" ? endMs - openedMs : []))
  return ends.length === 0 ? "-" : formatTime(quantile(ends, q))
}
