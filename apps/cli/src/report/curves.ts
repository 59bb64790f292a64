import { lineChart } from "./chart.js"
import type { Series } from "./chart.js"
import type { Picture } from "./pictures.js"
import type { ReportedRound, ReportedRun, ReportedScore } from "./simulation-report.js"
import { timeUnit } from "./statistics.js"

/** Held-out loss of all runs over rounds, bytes and virtual time. */
export function heldOutCurves(runs: readonly ReportedRun[]): Picture[] {
  const points = runs.map((run) => ({ name: run.name, points: scoredPoints(run) }))
  const scored = points.filter((run) => run.points.length > 0)
  if (scored.length === 0) return []
  const draw = (over: string, x: string, of: (point: Point) => number, whole = false): Picture => {
    const series: Series[] = scored.map((run) => ({
      name: run.name,
      points: run.points.map((point) => [of(point), point.loss] as const),
    }))
    const svg = lineChart({ title: `Held-out loss over ${over}`, x, y: "loss (nats per token)", series, whole })
    return { name: `loss-over-${over.replaceAll(" ", "-")}`, svg }
  }
  const time = timeUnit(Math.max(...scored.flatMap((run) => run.points.map(({ ms }) => ms))))
  return [
    draw("rounds", "round (0: the base)", ({ round }) => round, true),
    draw("bytes moved", "megabytes up and down, all clients", ({ bytes }) => bytes / 1e6),
    draw("virtual time", `virtual ${time.name}`, ({ ms }) => ms / time.ms),
  ]
}

interface Point {
  readonly round: number
  readonly bytes: number
  readonly ms: number
  readonly loss: number
}

function scoredPoints({ base, rounds }: ReportedRun): Point[] {
  const points: Point[] = []
  const add = (at: Omit<Point, "loss">, score: ReportedScore | undefined): void => {
    if (score !== undefined) points.push({ ...at, loss: score.loss })
  }
  add({ round: 0, bytes: 0, ms: 0 }, base)
  let bytes = 0
  for (const round of rounds) {
    bytes += movedBytes(round)
    add({ round: round.round, bytes, ms: round.closedMs }, round.heldOut)
  }
  return points
}

function movedBytes({ bytesUp, bytesDown }: ReportedRound): number {
  return bytesUp + bytesDown
}
