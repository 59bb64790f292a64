import { counted } from "../output/counted.js"
import { writeText } from "../output/files.js"
import { averaged, lineChart } from "../report/chart.js"
import { escapeHtml, htmlPage, htmlTable } from "../report/html.js"
import type { ReportSection } from "../report/html.js"
import type { TrainHistory } from "./train-history.js"

/** More points than this hide the curve behind the noise of single steps. */
const POINTS_MAX = 200

/** Writes the report of a training: curves, the scores, what it was set to. */
export async function writeTrainReport(
  path: string,
  history: TrainHistory,
  about: { readonly model: string; readonly adapter: string; readonly settings: Readonly<Record<string, unknown>> },
): Promise<void> {
  const settings = Object.entries(about.settings).map(([key, value]) => [key, shown(value)])
  const sections: ReportSection[] = [
    ...heldOutSections(history),
    { title: "Training loss", html: trainingChart(history) },
    { title: "Settings", html: htmlTable(["setting", "value"], settings) },
    { title: "Where it is", html: `<p>Adapter (PEFT): <code>${escapeHtml(about.adapter)}</code></p>` },
  ]
  const steps = history.steps().length
  await writeText(path, htmlPage(`Lamina: ${about.model}`, `LoRA on one machine, ${counted(steps, "step")}.`, sections))
}

function heldOutSections(history: TrainHistory): ReportSection[] {
  const scores = history.heldOut()
  if (scores.length === 0) return []
  const points = scores.map(({ step, loss }) => [step, loss] as const)
  const title = "Held-out loss (step 0: before training)"
  const chart = lineChart({ title, x: "step", y: "loss (nats per token)", series: [{ name: "held-out", points }] })
  const rows = scores.map(({ step, loss, perplexity, tokens }) => [
    step,
    loss.toFixed(4),
    perplexity.toFixed(2),
    tokens,
  ])
  return [{ title: "Held-out loss", html: chart + htmlTable(["step", "loss", "perplexity", "tokens"], rows) }]
}

function trainingChart(history: TrainHistory): string {
  const steps = history.steps()
  const group = Math.max(1, Math.ceil(steps.length / POINTS_MAX))
  const losses = steps.map(({ step, loss }) => [step, loss] as const)
  const title = group === 1 ? "Loss of each step" : `Loss, mean of ${group} steps`
  const series = [{ name: "training", points: averaged(losses, group) }]
  return lineChart({ title, x: "step", y: "loss (nats per token)", series })
}

function shown(value: unknown): string {
  return Array.isArray(value) ? value.join(", ") : String(value)
}
