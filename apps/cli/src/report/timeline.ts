import { AXIS, chartTitle, drawChart, LEGEND_WIDTH, lineChart, sideLegend } from "./chart.js"
import type { Series } from "./chart.js"
import { GRID, INK, PALETTE, SOFT_INK } from "./colors.js"
import type { Picture } from "./pictures.js"
import { OUTCOMES } from "./run-table.js"
import type { ReportedRound, ReportedRun, ReportedTurn } from "./simulation-report.js"
import { evenly, timeUnit } from "./statistics.js"

/** More clients in a round are counted instead of drawn. */
const TURNS_MAX = 40
/** Rounds that are drawn: the first, the last, and one between. */
const ROUNDS_MAX = 3

/** What became of every round's clients, and how some of the rounds went. */
export function timelinePictures(run: ReportedRun): Picture[] {
  const rounds = run.rounds.filter(({ clients }) => clients.length > 0)
  if (rounds.length === 0) return []
  const drawn = evenly(rounds, ROUNDS_MAX).map((round) => ({
    name: `round-${round.round}-${run.name}`,
    svg: round.clients.length <= TURNS_MAX ? gantt(round) : arrivals(round),
  }))
  return rounds.length === 1 ? drawn : [{ name: `outcomes-${run.name}`, svg: outcomeBars(rounds) }, ...drawn]
}

const OUTCOME_COLORS = Object.fromEntries(
  ["#4c9a6a", "#d1793b", "#b0474f", "#8c6d46", "#a8a23b", "#9aa3ad"].map((color, i) => [OUTCOMES[i], color]),
)

function outcomeBars(rounds: readonly ReportedRound[]): string {
  const seen = OUTCOMES.filter((outcome) => rounds.some(({ clients }) => clients.some((t) => t.outcome === outcome)))
  return drawChart(
    {
      title: chartTitle("What became of each round's clients"),
      legend: sideLegend(),
      grid: { left: 68, right: LEGEND_WIDTH, top: 48, bottom: 48 },
      xAxis: { ...AXIS, ...{ type: "category", data: rounds.map(({ round }) => round), name: "round", nameGap: 28 } },
      yAxis: { ...AXIS, ...{ type: "value", name: "clients", nameGap: 50, minInterval: 1 } },
      series: seen.map((outcome) => ({
        ...{ type: "bar", stack: "clients", name: outcome, barMaxWidth: 40 },
        data: rounds.map(({ clients }) => clients.filter((turn) => turn.outcome === outcome).length),
        itemStyle: { color: OUTCOME_COLORS[outcome] as string },
      })),
    },
    300,
  )
}

const PHASES = [
  { name: "download", color: PALETTE[9] as string },
  { name: "train", color: PALETTE[0] as string },
  { name: "upload", color: PALETTE[1] as string },
  { name: "wait for the others", color: GRID },
]

/** A bar for each client: its phases, and how it ended where not well. */
function gantt(round: ReportedRound): string {
  const turns = round.clients
  const from = Math.min(round.openedMs, ...turns.map(({ startMs }) => startMs))
  const until = Math.max(round.closedMs, ...turns.map(({ endMs }) => endMs))
  const unit = timeUnit(until - from)
  const begin = from < round.openedMs ? "the first of them began" : "the round opened" // rounds may overlap
  const at = (ms: number): number => (ms - from) / unit.ms
  const names = turns.map(({ name, device }) => (device === "default" ? name : `${name}, ${device}`))
  const lengths = turns.map((turn) => phaseLengthsMs(turn, round.closedMs).map((ms) => ms / unit.ms))
  const bar = { type: "bar", stack: "time", barMaxWidth: 16, barCategoryGap: "25%" } as const
  return drawChart(
    {
      title: chartTitle(`Round ${round.round}`),
      legend: { ...sideLegend(), data: PHASES.map(({ name }) => name) },
      grid: { left: 170, right: LEGEND_WIDTH, top: 48, bottom: 48 },
      xAxis: { ...AXIS, ...{ type: "value", name: `virtual ${unit.name} since ${begin}`, nameGap: 28 } },
      yAxis: {
        ...AXIS,
        ...{ type: "category", data: names, inverse: true, axisTick: { show: false } },
        axisLabel: { ...AXIS.axisLabel, width: 150, overflow: "truncate", interval: 0 },
      },
      series: [
        { ...bar, data: turns.map(({ startMs }) => at(startMs)), itemStyle: { color: "transparent" } },
        ...PHASES.map(({ name, color }, phase) => ({
          ...{ ...bar, name, itemStyle: { color } },
          data: lengths.map((phases) => phases[phase] ?? 0),
        })),
        { type: "scatter", data: endings(turns, at), symbolSize: 1, markLine: closing(round, at(round.closedMs)) },
      ],
    },
    120 + 22 * Math.max(2, turns.length),
  )
}

/** Download, training, upload, waiting. A phase that was broken off lasts until the end. */
function phaseLengthsMs(
  { outcome, startMs, downloadedMs, trainedMs, endMs }: ReportedTurn,
  closedMs: number,
): number[] {
  const downloaded = downloadedMs ?? endMs
  const trained = trainedMs ?? endMs
  const waited = outcome === "accepted" ? Math.max(0, closedMs - endMs) : 0
  return [downloaded - startMs, trained - downloaded, endMs - trained, waited]
}

function endings(turns: readonly ReportedTurn[], at: (ms: number) => number): object[] {
  return turns.flatMap(({ outcome, endMs }, row) =>
    outcome === "accepted"
      ? []
      : {
          value: [at(endMs), row],
          label: {
            ...{ show: true, position: "right", formatter: outcome, fontSize: 11, fontWeight: 600 },
            color: OUTCOME_COLORS[outcome],
          },
          itemStyle: { color: OUTCOME_COLORS[outcome] },
        },
  )
}

function closing({ abandoned }: ReportedRound, x: number): object {
  return {
    ...{ symbol: "none", silent: true, data: [{ xAxis: x }] },
    lineStyle: { color: INK, type: "dashed", width: 1 },
    label: { formatter: abandoned ? "abandoned" : "closed", color: SOFT_INK, fontSize: 11, position: "start" },
  }
}

/** Of many clients: how many had come how far, over time. */
function arrivals(round: ReportedRound): string {
  const unit = timeUnit(Math.max(round.closedMs, ...round.clients.map(({ endMs }) => endMs)) - round.openedMs)
  const curve = (name: string, times: readonly (number | undefined)[], dashed = false): Series => {
    const sorted = times.filter((ms) => ms !== undefined).sort((left, right) => left - right)
    const points = sorted.map((ms, i) => [(ms - round.openedMs) / unit.ms, i + 1] as const)
    return { name, dashed, step: true, points }
  }
  const ends = (accepted: boolean): readonly number[] =>
    round.clients.filter(({ outcome }) => (outcome === "accepted") === accepted).map(({ endMs }) => endMs)
  const series = [
    curve(
      "downloaded",
      round.clients.map(({ downloadedMs }) => downloadedMs),
    ),
    curve(
      "trained",
      round.clients.map(({ trainedMs }) => trainedMs),
    ),
    curve("update accepted", ends(true)),
    curve("ended otherwise", ends(false), true),
  ].filter(({ points }) => points.length > 0)
  const title = `Round ${round.round}: how many of ${round.clients.length} clients had come how far`
  return lineChart({ title, x: `virtual ${unit.name} since the round opened`, y: "clients", series })
}
