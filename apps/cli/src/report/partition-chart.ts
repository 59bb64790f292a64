import type { ClientRows } from "../simulate/population.js"
import { AXIS, chartTitle, drawChart, LEGEND_WIDTH, sideLegend } from "./chart.js"
import { HEAT, INK, PALETTE } from "./colors.js"
import type { Picture } from "./pictures.js"
import { evenly } from "./statistics.js"

/** More clients are bars too thin to read. */
const BARS_MAX = 40
/** Columns of a heat map. */
const COLUMNS_MAX = 120
/** Keys with a colour, or a line, of their own. */
const KEYS_MAX = { bars: 9, heat: 24 }
const OTHERS = "others"

/** Who holds rows of which key: stacked bars of rows, or, of many clients, a heat map of shares. */
export function partitionPicture(partition: readonly ClientRows[], run: string): Picture {
  const svg = partition.length <= BARS_MAX ? stackedBars(partition) : heatMap(partition)
  return { name: `partition-${run}`, svg }
}

function stackedBars(partition: readonly ClientRows[]): string {
  const keys = largestKeys(partition, KEYS_MAX.bars)
  const series = keys.map((key, i) => ({
    ...{ type: "bar", stack: "rows", name: key, barMaxWidth: 40 },
    ...{ data: partition.map((client) => rowsOf(client, key, keys)) },
    itemStyle: { color: PALETTE[i] as string },
  })) satisfies object[]
  const rotated = partition.length > 8
  return drawChart(
    {
      title: chartTitle("Rows of each client, by key"),
      legend: sideLegend(keys.length > 1),
      grid: { left: 68, right: keys.length > 1 ? LEGEND_WIDTH : 24, top: 48, bottom: rotated ? 96 : 48 },
      xAxis: {
        ...AXIS,
        ...{ type: "category", data: partition.map(({ name }) => name) },
        axisLabel: { ...AXIS.axisLabel, interval: 0, rotate: rotated ? 60 : 0, width: 90, overflow: "truncate" },
      },
      yAxis: { ...AXIS, type: "value", name: "rows", nameGap: 50 },
      series: series as never,
    },
    rotated ? 440 : 400,
  )
}

function heatMap(partition: readonly ClientRows[]): string {
  const keys = largestKeys(partition, KEYS_MAX.heat)
  const shown = evenly(byMainKey(partition, keys), COLUMNS_MAX)
  const data = shown.flatMap((client, x) => {
    const total = keys.reduce((sum, key) => sum + rowsOf(client, key, keys), 0)
    return keys.map((key, y) => [x, y, rowsOf(client, key, keys) / total])
  })
  const which = shown.length < partition.length ? `${shown.length} of ${partition.length}` : String(partition.length)
  return drawChart(
    {
      title: chartTitle("Share of a client's rows that each key has"),
      grid: { left: 130, right: 90, top: 48, bottom: 48 },
      xAxis: {
        ...AXIS,
        ...{ type: "category", data: shown.map(({ name }) => name), name: `${which} clients, by their main key` },
        ...{ nameGap: 16, axisLabel: { show: false }, axisTick: { show: false } },
      },
      yAxis: {
        ...AXIS,
        ...{ type: "category", data: keys, inverse: true, axisTick: { show: false } },
        axisLabel: { ...AXIS.axisLabel, width: 110, overflow: "truncate" },
      },
      visualMap: heatScale(1),
      series: [{ type: "heatmap", data, progressive: 0 }],
    },
    Math.max(220, 110 + 24 * keys.length),
  )
}

/** A heat map's scale from 0 to `max`, shown as percent. */
export function heatScale(max: number): object {
  return {
    ...{ min: 0, max, right: 4, top: "middle", itemHeight: 110, itemWidth: 12, calculable: false },
    ...{ text: [`${Math.round(100 * max)} %`, "0 %"], textStyle: { color: INK, fontSize: 11 } },
    inRange: { color: HEAT },
  }
}

/** Keys by falling rows of all clients; those beyond `max` are one, "others". */
function largestKeys(partition: readonly ClientRows[], max: number): string[] {
  const totals = new Map<string, number>()
  for (const { rowsByKey } of partition)
    for (const [key, rows] of Object.entries(rowsByKey)) totals.set(key, (totals.get(key) ?? 0) + rows)
  const keys = [...totals].sort(([, less], [, more]) => more - less).map(([key]) => key)
  return keys.length <= max ? keys : [...keys.slice(0, max - 1), OTHERS]
}

function rowsOf({ rowsByKey }: ClientRows, key: string, keys: readonly string[]): number {
  if (key !== OTHERS || Object.hasOwn(rowsByKey, OTHERS))
    return Object.hasOwn(rowsByKey, key) ? (rowsByKey[key] ?? 0) : 0
  return Object.entries(rowsByKey).reduce((sum, [own, rows]) => sum + (keys.includes(own) ? 0 : rows), 0)
}

/** Clients grouped by the key they have most of, then by how much of it: the structure shows. */
function byMainKey(partition: readonly ClientRows[], keys: readonly string[]): ClientRows[] {
  const ranked = partition.map((client) => {
    const rows = keys.map((key) => rowsOf(client, key, keys))
    const most = Math.max(...rows)
    return { client, main: rows.indexOf(most), share: most / rows.reduce((sum, count) => sum + count, 0) }
  })
  return ranked.sort((left, right) => left.main - right.main || right.share - left.share).map(({ client }) => client)
}
