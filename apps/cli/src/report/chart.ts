import * as echarts from "echarts"

/** One line of a chart; a missing point is null. */
export interface Series {
  readonly name: string
  readonly points: readonly (readonly [number, number])[]
  readonly dashed?: boolean
}

interface ChartOptions {
  readonly title: string
  readonly x: string
  readonly y: string
  readonly series: readonly Series[]
  readonly logarithmic?: boolean
}

/** An SVG of the lines, drawn here by echarts' server-side renderer; no script is left in it. */
export function lineChart({ title, x, y, series, logarithmic }: ChartOptions): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: 860, height: 420 })
  chart.setOption({
    animation: false,
    color: PALETTE,
    title: { text: title, left: 8, top: 4, textStyle: { fontSize: 15 } },
    legend: { type: "plain", right: 8, top: 34, orient: "vertical", textStyle: { fontSize: 11 } },
    grid: { left: 64, right: 190, top: 48, bottom: 48 },
    xAxis: {
      type: "value",
      name: x,
      nameLocation: "middle",
      nameGap: 28,
      minInterval: 1,
      min: "dataMin",
      max: "dataMax",
    },
    yAxis: { type: logarithmic ? "log" : "value", name: y, nameLocation: "middle", nameGap: 46, scale: true },
    series: series.map((line) => ({
      type: "line",
      name: line.name,
      data: line.points.map((point) => [...point]),
      showSymbol: line.points.length < 40,
      symbolSize: 5,
      lineStyle: { width: line.dashed ? 1.5 : 2, type: line.dashed ? "dashed" : "solid" },
    })),
  })
  const svg = chart.renderToSVGString()
  chart.dispose()
  return svg
}

const PALETTE = [
  "#3b6ea8",
  "#d1793b",
  "#4c9a6a",
  "#b0474f",
  "#7a68a6",
  "#8c6d46",
  "#c77ba5",
  "#6f6f6f",
  "#a8a23b",
  "#2f9aa0",
]

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
