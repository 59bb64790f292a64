import * as echarts from "echarts"
import type { EChartsOption } from "echarts"

import { GRID, INK, PALETTE, SOFT_INK } from "./colors.js"

/** One line of a chart. */
export interface Series {
  readonly name: string
  readonly points: readonly (readonly [number, number])[]
  readonly dashed?: boolean
  /** Straight steps: the value holds until the next point. */
  readonly step?: boolean
}

interface LineChart {
  readonly title: string
  readonly x: string
  readonly y: string
  readonly series: readonly Series[]
  readonly logarithmic?: boolean
  /** Points alone. */
  readonly scatter?: boolean
  /** The x axis has whole numbers only, from the first to the last; otherwise it begins at 0. */
  readonly whole?: boolean
}

const CHART_WIDTH = 860

type LegendOption = Exclude<EChartsOption["legend"], readonly unknown[]>

/** More lines than this leave no room for a legend beside them. */
const LEGEND_LINES_MAX = 16

/**
 * An SVG of echarts' server-side renderer; no script is left in it. Fonts and colours of axes, legends and titles are
 * set here; `height` in px, the width is CHART_WIDTH.
 */
export function drawChart(option: EChartsOption, height: number): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: CHART_WIDTH, height })
  chart.setOption({ animation: false, color: PALETTE, textStyle: { fontFamily: FONT, color: INK }, ...option })
  const svg = chart.renderToSVGString()
  chart.dispose()
  // all it has of style is how parts answer to the pointer, and no part does (a gradient's is `[object Object]`)
  return svg.replace(/<style\b.*?<\/style>\n?/gs, "")
}

const FONT = "Inter, system-ui, sans-serif"

export function chartTitle(text: string): NonNullable<EChartsOption["title"]> {
  return { text, left: 8, top: 4, textStyle: { fontSize: 15, fontWeight: 600, fontFamily: FONT, color: INK } }
}

/** What every axis has. */
export const AXIS = {
  nameLocation: "middle",
  nameTextStyle: { color: SOFT_INK },
  axisLabel: { color: SOFT_INK },
  axisLine: { lineStyle: { color: SOFT_INK } },
  axisTick: { lineStyle: { color: SOFT_INK } },
  splitLine: { lineStyle: { color: GRID } },
} as const

/** Room to the right of a drawing that has a legend. */
export const LEGEND_WIDTH = 190

/** Names beside the drawing, under one another. */
export function sideLegend(show = true): NonNullable<LegendOption> {
  return {
    ...{ show, type: "plain", left: CHART_WIDTH - LEGEND_WIDTH + 16, top: 40, orient: "vertical", itemWidth: 18 },
    textStyle: { fontSize: 11, color: INK, width: 140, overflow: "truncate" },
  }
}

/** Lines, or points, of numbers over numbers. */
export function lineChart({ title, x, y, series, logarithmic, scatter, whole }: LineChart): string {
  const legend = series.length > 1 && series.length <= LEGEND_LINES_MAX
  return drawChart(
    {
      title: chartTitle(title),
      legend: sideLegend(legend),
      grid: { left: 68, right: legend ? LEGEND_WIDTH : 24, top: 48, bottom: 48 },
      xAxis: {
        ...AXIS,
        ...{ type: "value", name: x, nameGap: 28 },
        axisLabel: { ...AXIS.axisLabel, hideOverlap: true, formatter: shortNumber },
        ...(whole ? { minInterval: 1, min: "dataMin", max: "dataMax" } : {}),
      },
      yAxis: {
        ...AXIS,
        ...{ type: logarithmic ? "log" : "value", name: y, nameGap: 50, scale: true },
        axisLabel: { ...AXIS.axisLabel, formatter: shortNumber },
      },
      series: series.map((line) => seriesOption(line, scatter === true)),
    },
    400,
  )
}

function seriesOption(line: Series, scatter: boolean): echarts.SeriesOption {
  const data = line.points.map((point) => [...point])
  if (scatter) return { type: "scatter", name: line.name, data, symbolSize: 6, itemStyle: { opacity: 0.75 } }
  return {
    ...{ type: "line", name: line.name, data },
    showSymbol: line.points.length < 40 && !line.step,
    symbolSize: 5,
    ...(line.step ? { step: "end" } : {}),
    lineStyle: { width: line.dashed ? 1.5 : 2, type: line.dashed ? "dashed" : "solid" },
  }
}

/** At most four digits; small and large numbers as powers of ten. */
function shortNumber(value: number): string {
  const size = Math.abs(value)
  if (value !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1).replace(".0e", "e").replace("e+", "e")
  return String(Number(value.toPrecision(4)))
}

/** Means of `group` neighbours, at the last one's place. */
export function averaged(points: readonly (readonly [number, number])[], group: number): [number, number][] {
  const out: [number, number][] = []
  for (let i = 0; i < points.length; i += group) {
    const members = points.slice(i, i + group)
    const sum = members.reduce((total, [, loss]) => total + loss, 0)
    out.push([members.at(-1)?.[0] ?? 0, sum / members.length])
  }
  return out
}
