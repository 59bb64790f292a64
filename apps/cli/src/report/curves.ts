import { lineChart } from "./chart.js"
import type { Series } from "./chart.js"
import type { Picture } from "./pictures.js"
import type { ReportedRound, ReportedRun, ReportedScore } from "./simulation-report.js"
import { timeUnit } from "./statistics.js"

/** Held-out loss, and accuracy where there is one, of all runs over rounds, bytes and virtual time. */
export function heldOutCurves(runs: readonly ReportedRun[]): Picture[] {
  return [...scoreCurves(runs, LOSS), ...scoreCurves(runs, ACCURACY)]
}

interface Measure {
  readonly name: string
  readonly title: string
  readonly axis: string
  of(score: ReportedScore): number | undefined
}

const LOSS: Measure = {
  ...{ name: "loss", title: "Held-out loss", axis: "loss (nats per token)" },
  of: ({ loss }) => loss,
}
const ACCURACY: Measure = {
  ...{ name: "accuracy", title: "Held-out accuracy", axis: "share of right answers" },
  of: ({ accuracy }) => accuracy,
}

function scoreCurves(runs: readonly ReportedRun[], measure: Measure): Picture[] {
  const points = runs.map((run) => ({ name: run.name, points: scoredPoints(run, measure) }))
  const scored = points.filter((run) => run.points.length > 0)
  if (scored.length === 0) return []
  const draw = (over: string, x: string, of: (point: Point) => number, whole = false): Picture => {
    const series: Series[] = scored.map((run) => ({
      name: run.name,
      points: run.points.map((point) => [of(point), point.value] as const),
    }))
    const svg = lineChart({ title: `${measure.title} over ${over}`, x, y: measure.axis, series, whole })
    return { name: `${measure.name}-over-${over.replaceAll(" ", "-")}`, svg }
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
  readonly value: number
}

function scoredPoints({ base, rounds }: ReportedRun, { of }: Measure): Point[] {
  const points: Point[] = []
  const add = (at: Omit<Point, "value">, score: ReportedScore | undefined): void => {
    const value = score && of(score)
    if (value !== undefined) points.push({ ...at, value })
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
