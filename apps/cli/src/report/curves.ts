import { lineChart } from "./chart.js"
import type { Series } from "./chart.js"
import type { Picture } from "./pictures.js"
import type { ReportedRound, ReportedRun, ReportedScore } from "./simulation-report.js"
import { timeUnit } from "./statistics.js"

/** Held-out loss and accuracy of all runs over rounds, bytes and virtual time. */
export function heldOutCurves(runs: readonly ReportedRun[]): Picture[] {
  const points = runs.map((run) => ({ name: run.name, points: scoredPoints(run) }))
  const scored = points.filter((run) => run.points.length > 0)
  if (scored.length === 0) return []
  const time = timeUnit(Math.max(...scored.flatMap((run) => run.points.map(({ ms }) => ms))))
  const axes: readonly Axis[] = [
    { over: "rounds", x: "round (0: the base)", of: ({ round }) => round, whole: true },
    { over: "bytes moved", x: "megabytes up and down, all clients", of: ({ bytes }) => bytes / 1e6 },
    { over: "virtual time", x: `virtual ${time.name}`, of: ({ ms }) => ms / time.ms },
  ]
  return MEASURES.flatMap(({ name, y, value }) =>
    axes.map(({ over, x, of, whole = false }) => {
      const series: Series[] = scored.map((run) => ({
        name: run.name,
        points: run.points.map((point) => [of(point), value(point.score)] as const),
      }))
      const svg = lineChart({ title: `Held-out ${name} over ${over}`, x, y, series, whole })
      return { name: `${name}-over-${over.replaceAll(" ", "-")}`, svg }
    }),
  )
}

interface Axis {
  readonly over: string
  readonly x: string
  readonly of: (point: Point) => number
  readonly whole?: boolean
}

const MEASURES: readonly { name: string; y: string; value: (score: ReportedScore) => number }[] = [
  { name: "loss", y: "loss (nats per token)", value: ({ loss }) => loss },
  { name: "accuracy", y: "tokens predicted right (%)", value: ({ accuracy }) => 100 * accuracy },
]

interface Point {
  readonly round: number
  readonly bytes: number
  readonly ms: number
  readonly score: ReportedScore
}

function scoredPoints({ base, rounds }: ReportedRun): Point[] {
  const points: Point[] = []
  const add = (at: Omit<Point, "score">, score: ReportedScore | undefined): void => {
    if (score !== undefined) points.push({ ...at, score })
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
