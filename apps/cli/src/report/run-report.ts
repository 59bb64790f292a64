import { perplexity } from "../simulate/held-out.js"
import type { HistoryRow } from "../simulate/journal.js"
import type { SimulationResult } from "../simulate/simulation.js"
import { averaged, lineChart } from "./chart.js"
import type { Series } from "./chart.js"
import { escapeHtml, htmlTable } from "./html.js"
import type { ReportSection } from "./html.js"

/** Curves and tables of one run of the demo. */
export function runSections(result: SimulationResult): ReportSection[] {
  const sections: ReportSection[] = []
  if (result.scores.length > 0) sections.push({ title: "Held-out perplexity by round", html: heldOutChart(result) })
  sections.push({ title: "Training loss", html: trainingChart(result.history.rows, result) })
  sections.push({ title: "Clients", html: clientTable(result) })
  sections.push({
    title: "Where it is",
    html: `<p>Global adapter (PEFT): <code>${escapeHtml(result.adapter)}</code></p>`,
  })
  return sections
}

function heldOutChart(result: SimulationResult): string {
  const overall: Series = {
    name: "all clients",
    points: result.scores.map(({ round, scores }) => [round, perplexity(scores.overall)] as const),
  }
  const each = result.clients.map(({ name }) => ({
    name,
    dashed: true,
    points: result.scores.flatMap(({ round, scores }) => {
      const score = scores.perClient[name]
      return score ? [[round, perplexity(score)] as const] : []
    }),
  }))
  return lineChart({
    title: "Held-out perplexity (round 0: the base)",
    x: "round",
    y: "perplexity",
    series: [overall, ...each],
    whole: true,
  })
}

/** More points than this hide the curve behind the noise of single batches. */
const POINTS_MAX = 60

/**
 * Steps of all rounds one after another, so that the sawtooth of fresh adapters shows; many steps are averaged in
 * groups.
 */
function trainingChart(rows: readonly HistoryRow[], result: SimulationResult): string {
  const steps = rows.filter((row) => row.kind === "step")
  const perRound = steps.reduce((most, row) => Math.max(most, row.step), 1)
  const group = Math.ceil((perRound * result.rounds) / POINTS_MAX)
  const series = result.clients.map(({ name }) => {
    const own = steps.filter((row) => row.client === name)
    const losses = new Map(own.map((row) => [(row.round - 1) * perRound + row.step, row.loss]))
    return {
      name,
      points: averaged(
        [...losses].sort(([left], [right]) => left - right),
        group,
      ),
    }
  })
  const title = group === 1 ? "Loss of each client's steps" : `Loss of each client, mean of ${group} steps`
  return lineChart({ title, x: "local step, all rounds", y: "loss (nats per token)", series, whole: true })
}

function clientTable({ clients, scores }: SimulationResult): string {
  const last = scores.at(-1)?.scores.perClient
  const rows = clients.map(({ name, rank, precision, tokens }) => {
    const score = last?.[name]
    return [name, rank, precision, tokens ?? "-", score ? perplexity(score).toFixed(2) : "-"]
  })
  return htmlTable(["client", "rank", "base in memory", "tokens", "held-out perplexity at the end"], rows)
}
