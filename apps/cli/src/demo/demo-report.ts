import { writeText } from "../output/files.js"
import { lineChart } from "../report/chart.js"
import type { Series } from "../report/chart.js"
import { htmlPage, htmlTable } from "../report/html.js"
import { runSections } from "../report/run-report.js"
import { perplexity } from "../simulate/held-out.js"
import type { SimulationResult } from "../simulate/simulation.js"
import { demoResult } from "./demo-result.js"
import type { DemoOutcome } from "./demo-result.js"

const INTRO =
  "Eight clients, groups of presidents after 1945, federate a 3 M parameter language model that has only read " +
  "addresses up to 1945. Each holds about 20,000 tokens; ranks 16 to 4 and bases in 8 and 4 bits train side by side; " +
  "each update is sealed, signed and durable. A client alone trains the same rounds on its own text; its best counts."

/** Writes the demo's page: the ways compared, then the curves of the flora run. Returns its path. */
export async function writeDemoReport(path: string, outcome: DemoOutcome): Promise<string> {
  const { heldOut, perClient } = demoResult(outcome, { wallSeconds: 0, report: path })
  const rows = [...perClient, { name: "all clients", ...heldOut }].map(({ name, base, local, fedit, flora }) => [
    name,
    ...[base, local, fedit, flora].map((value) => value.toFixed(1)),
  ])
  const sections = [
    {
      title: "Held-out perplexity",
      html: htmlTable(["client", "base", "local only, best round", "fedit (rank 4)", "flora"], rows),
    },
    { title: "The ways compared", html: comparison(outcome) },
    ...runSections(outcome.flora),
  ]
  await writeText(path, htmlPage("Lamina: presidents after 1945", INTRO, sections))
  return path
}

function comparison({ flora, fedit, local }: DemoOutcome): string {
  const alone: Series = {
    name: "local only, best round",
    dashed: true,
    points: [0, flora.rounds].map((round) => [round, perplexity(local.overall)] as const),
  }
  const title = "Held-out perplexity over all clients (round 0: the base)"
  return lineChart({
    title,
    x: "round",
    y: "perplexity",
    whole: true,
    series: [curve("flora", flora), curve("fedit, rank 4", fedit), alone],
  })
}

function curve(name: string, result: SimulationResult): Series {
  return { name, points: result.scores.map(({ round, scores }) => [round, perplexity(scores.overall)] as const) }
}
