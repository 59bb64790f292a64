import { AXIS, chartTitle, drawChart } from "./chart.js"
import { heatScale } from "./partition-chart.js"
import type { Picture } from "./pictures.js"
import type { ReportedRun } from "./simulation-report.js"

/**
 * Layer by linear: the share of the cohort's weight that trained it, mean over the rounds. Undefined where there is
 * nothing to see: no coverage, or everything whole.
 */
export function coveragePicture({ name, rounds }: ReportedRun): Picture | undefined {
  const shares = new Map<string, number>()
  const covered = rounds.filter(({ coverage }) => coverage.length > 0)
  for (const { coverage } of covered)
    for (const { module, share } of coverage) shares.set(module, (shares.get(module) ?? 0) + share / covered.length)
  if ([...shares.values()].every((share) => share > 1 - 1e-9)) return undefined
  const cells = [...shares].map(([module, share]) => ({ ...placeOf(module), share }))
  const linears = [...new Set(cells.map(({ linear }) => linear))]
  const layers = [...new Set(cells.map(({ layer }) => layer))].sort((left, right) => Number(left) - Number(right))
  const data = cells.map(({ layer, linear, share }) => [layers.indexOf(layer), linears.indexOf(linear), share])
  const svg = drawChart(
    {
      title: chartTitle("Share of the cohort that trained a module, mean over rounds"),
      grid: { left: 110, right: 90, top: 48, bottom: 48 },
      xAxis: { ...AXIS, ...{ type: "category", data: layers, name: "layer", nameGap: 28, axisTick: { show: false } } },
      yAxis: { ...AXIS, ...{ type: "category", data: linears, inverse: true, axisTick: { show: false } } },
      visualMap: heatScale(1),
      series: [{ type: "heatmap", data, progressive: 0, label: labelOf(layers.length) }],
    },
    Math.max(220, 110 + 30 * linears.length),
  )
  return { name: `coverage-${name}`, svg }
}

/** Layers that leave room for a number in each cell. */
const LABELLED_LAYERS_MAX = 16

function labelOf(layers: number): object {
  const percent = ({ value }: { value: readonly number[] }): string => String(Math.round(100 * (value[2] ?? 0)))
  return { show: layers <= LABELLED_LAYERS_MAX, fontSize: 10, formatter: percent }
}

/** `model.layers.3.self_attn.q_proj` -> layer 3, q_proj. */
function placeOf(module: string): { layer: string; linear: string } {
  const parts = module.split(".")
  return { layer: parts.find((part) => /^\d+$/.test(part)) ?? "-", linear: parts.at(-1) ?? module }
}
