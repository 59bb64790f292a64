import { join, resolve } from "node:path"

import { untilInterrupted } from "../interrupt.js"
import { writeText } from "../output/files.js"
import { makeFolder } from "../output/folder.js"
import { printJson } from "../output/json.js"
import { federationView } from "../output/progress.js"
import { renderTable } from "../output/table.js"
import { openPool } from "../pool.js"
import type { BackendChoice } from "../pool.js"
import { loadRecipe } from "../recipe-file.js"
import { writeRunReport } from "../report/run-report.js"
import { perplexity } from "../simulate/held-out.js"
import { simulate, simulationWorkers } from "../simulate/simulation.js"
import type { SimulationResult } from "../simulate/simulation.js"

interface SimulateOptions {
  readonly out: string
  readonly workers?: number
  readonly backend: BackendChoice
  readonly json?: boolean
}

/** `lamina simulate`: leaves result.json, report.html, history.jsonl and the PEFT adapter in the out folder. */
export async function simulateCommand(recipePath: string, options: SimulateOptions): Promise<void> {
  const started = performance.now()
  const { recipe } = await loadRecipe(recipePath)
  const out = resolve(options.out)
  await makeFolder(out)
  const workers = options.workers === undefined ? simulationWorkers() : { workers: options.workers, threads: 1 }
  const pool = await openPool({ ...workers, backend: options.backend })
  try {
    const view = federationView(process.stderr)
    const result = await untilInterrupted((signal) => simulate({ recipe, out, pool, view, signal }))
    const report = await writeRunReport(join(out, "report.html"), recipe.name, result)
    const summary = summarize(result, report, (performance.now() - started) / 1000)
    await writeText(join(out, "result.json"), `${JSON.stringify(summary, undefined, 2)}\n`)
    if (options.json) printJson(summary)
    else printSummary(result, report)
  } finally {
    await pool.close()
  }
}

function summarize(result: SimulationResult, report: string, wallSeconds: number): Record<string, unknown> {
  const { run, rounds, clients, scores, adapter, adapterHash } = result
  const heldOut = scores.map((scored) => ({ round: scored.round, perplexity: perplexity(scored.scores.overall) }))
  return { run, rounds, clients, heldOut, adapter, adapterHash, report, wallSeconds }
}

function printSummary(result: SimulationResult, report: string): void {
  const first = result.scores[0]?.scores
  const last = result.scores.at(-1)?.scores
  if (first && last) {
    const rows = Object.keys(last.perClient).map((name) => {
      const before = first.perClient[name]
      const after = last.perClient[name]
      return [name, before ? perplexity(before).toFixed(2) : "-", after ? perplexity(after).toFixed(2) : "-"]
    })
    rows.push(["all", perplexity(first.overall).toFixed(2), perplexity(last.overall).toFixed(2)])
    process.stdout.write(`${renderTable(["held-out perplexity", "base", `round ${result.rounds}`], rows)}\n`)
  }
  process.stdout.write(`adapter  ${result.adapter}\nreport   ${report}\n`)
}
