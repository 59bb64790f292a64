import { lineChart } from "./chart.js"
import type { Series } from "./chart.js"
import type { Picture } from "./pictures.js"
import type { ReportedRun } from "./simulation-report.js"
import { quantile } from "./statistics.js"

/** More modules are shown as quantiles. */
const LINES_MAX = 8
/** Smaller values, as a share of the largest, are rounding of f32 factors. */
const ROUNDING = 1e-7

/** Singular values of the global adapter's modules, falling, logarithmic; undefined without any. */
export function spectrumPicture({ name, spectrum = [] }: ReportedRun): Picture | undefined {
  const largest = Math.max(0, ...spectrum.map(({ values }) => values[0] ?? 0))
  if (largest === 0) return undefined
  const shown = spectrum.map(({ module, values }) => ({
    name: module.replace(/^.*layers?\./, ""),
    values: values.filter((value) => value > ROUNDING * largest),
  }))
  const series = shown.length <= LINES_MAX ? shown.map(lineOf) : quantileLines(shown.map(({ values }) => values))
  const title =
    shown.length <= LINES_MAX
      ? "Singular values of the global adapter"
      : `Singular values of the global adapter, over its ${shown.length} modules (0 beyond a module's rank)`
  const [x, y] = ["number of the singular value", "singular value of s·B·A"]
  return { name: `spectrum-${name}`, svg: lineChart({ title, x, y, series, logarithmic: true, whole: true }) }
}

function lineOf({ name, values }: { name: string; values: readonly number[] }): Series {
  return { name, points: values.map((value, i) => [i + 1, value] as const) }
}

/**
 * Over all modules, the i-th value of one that has fewer being 0, as it is: each line falls, and ends where it comes to
 * 0, which the logarithmic axis has not.
 */
export function quantileLines(spectra: readonly (readonly number[])[]): Series[] {
  const length = Math.max(...spectra.map(({ length }) => length))
  const quantiles = [
    { name: "largest", q: 1, dashed: true },
    { name: "90th percentile", q: 0.9 },
    { name: "median", q: 0.5 },
    { name: "10th percentile", q: 0.1 },
    { name: "smallest", q: 0, dashed: true },
  ]
  return quantiles.map(({ q, ...line }) => ({
    ...line,
    points: Array.from({ length }, (_, i) => {
      const values = spectra.map((spectrum) => spectrum[i] ?? 0)
      return [i + 1, quantile(values, q)] as const
    }).filter(([, value]) => value > 0),
  }))
}
