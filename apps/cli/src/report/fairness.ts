import { lineChart } from "./chart.js"
import { htmlTable } from "./html.js"
import type { Picture } from "./pictures.js"
import { lastScored } from "./run-table.js"
import type { ReportedRun } from "./simulation-report.js"
import { quantile, summaryOf } from "./statistics.js"

/** Every client's held-out loss at the end, best to worst, a run a colour; nothing where nobody was scored. */
export function fairnessPicture(runs: readonly ReportedRun[]): Picture | undefined {
  const series = runs.flatMap((run) => {
    const losses = lossesOf(run).sort((left, right) => left - right)
    const points = losses.map((loss, i) => [(100 * (i + 0.5)) / losses.length, loss] as const)
    return points.length === 0 ? [] : [{ name: run.name, points }]
  })
  if (series.length === 0) return undefined
  const [title, x, y] = [
    "Held-out loss of each client at the end",
    "clients, best to worst (%)",
    "loss (nats per token)",
  ]
  return { name: "fairness", svg: lineChart({ title, x, y, series, scatter: true }) }
}

/** How unequal clients' losses are; every client counts the same, however much text it has. */
export function fairnessTable(runs: readonly ReportedRun[]): string {
  const head = ["run", "scored", "mean", "std", "best", "10 %", "median", "90 %", "worst"]
  const rows = runs.map((run) => {
    const losses = lossesOf(run)
    if (losses.length === 0) return [run.name, 0, ...Array<string>(7).fill("-")]
    const { count, mean, deviation, least, most } = summaryOf(losses)
    const [low, middle, high] = [0.1, 0.5, 0.9].map((q) => quantile(losses, q)) as [number, number, number]
    return [run.name, count, ...[mean, deviation, least, low, middle, high, most].map((value) => value.toFixed(3))]
  })
  return htmlTable(head, rows)
}

function lossesOf(run: ReportedRun): number[] {
  return Object.values(lastScored(run)?.heldOut?.perClient ?? {}).map(({ loss }) => loss)
}
