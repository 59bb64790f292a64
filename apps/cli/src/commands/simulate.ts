import { basename, join, resolve } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"
import type { Recipe } from "@lamina/protocol/recipe"

import { untilInterrupted } from "../interrupt.js"
import { writeText } from "../output/files.js"
import { makeFolder } from "../output/folder.js"
import { printJson } from "../output/json.js"
import { federationView } from "../output/progress.js"
import { formatBytes, renderTable } from "../output/table.js"
import { openPool } from "../pool.js"
import type { BackendChoice } from "../pool.js"
import { loadRecipe, ofRecipe } from "../recipe-file.js"
import { fileName } from "../report/file-name.js"
import type { ReportedRun } from "../report/simulation-report.js"
import { writeSimulationReport } from "../report/write-report.js"
import { runBase } from "../run-base.js"
import { perplexity } from "../simulate/held-out.js"
import { reportedRun, runTotals } from "../simulate/reported-run.js"
import { simulate, simulationWorkers } from "../simulate/simulation.js"
import type { SimulationResult } from "../simulate/simulation.js"

interface SimulateOptions {
  readonly out: string
  readonly workers?: number
  readonly backend: BackendChoice
  readonly json?: boolean
}

interface Simulated {
  readonly name: string
  readonly result: SimulationResult
  readonly reported: ReportedRun
}

/**
 * `lamina simulate`: one recipe into the out folder, several into a folder each below it, and one report over all of
 * them. Leaves result.json, results.jsonl, report.html, pictures, TensorBoard events and the PEFT adapters.
 */
export async function simulateCommand(recipePaths: readonly string[], options: SimulateOptions): Promise<void> {
  const started = performance.now()
  const recipes = await Promise.all(
    recipePaths.map(async (path) => ({ path, recipe: (await loadRecipe(path)).recipe })),
  )
  const names = recipes.map(({ path, recipe }) =>
    recipes.length === 1 ? recipe.name : basename(path).replace(/\.\w+$/, ""),
  )
  expectSimulations(recipes)
  expectUnlikeNames(names)
  for (const { path, recipe } of recipes) await ofRecipe(path, () => runBase(recipe))
  const out = resolve(options.out)
  await makeFolder(out)
  const workers = options.workers === undefined ? simulationWorkers() : { workers: options.workers, threads: 1 }
  const pool = await openPool({ ...workers, backend: options.backend })
  try {
    const done: Simulated[] = []
    for (const [i, { path, recipe }] of recipes.entries()) {
      const name = names[i]!
      const folder = recipes.length === 1 ? out : join(out, name)
      done.push(await ofRecipe(path, () => simulateOne({ name, recipe, folder, pool, workers: workers.workers })))
    }
    const report = await writeSimulationReport(out, {
      name: names.join(", "),
      runs: done.map(({ reported }) => reported),
    })
    const summary = { ...summarize(done), report, wallSeconds: (performance.now() - started) / 1000 }
    await writeText(join(out, "result.json"), `${JSON.stringify(summary, undefined, 2)}\n`)
    if (options.json) printJson(summary)
    else printSummary(done, report)
  } finally {
    await pool.close()
  }
}

/** Before anything runs: a recipe that cannot would end the others' run without a report. */
function expectSimulations(recipes: readonly { readonly path: string; readonly recipe: Recipe }[]): void {
  const without = recipes.filter(({ recipe }) => recipe.simulation === undefined).map(({ path }) => path)
  if (without.length > 0)
    throw new LaminaError(
      "RECIPE_INVALID",
      `simulation: expected clients or a population to simulate, got none in ${without.join(", ")}`,
      { hint: "docs/recipes.md has the keys of a simulation; `lamina run` starts a recipe without one" },
    )
}

/** Folders and event files are named by what `fileName` makes of them. */
function expectUnlikeNames(names: readonly string[]): void {
  const files = names.map(fileName)
  const alike = names.filter((_, i) => files.indexOf(files[i]!) !== files.lastIndexOf(files[i]!))
  if (alike.length > 0)
    throw new LaminaError("USAGE", `expected recipes of unlike file names, got ${alike.join(", ")}`, {
      hint: "each run has a folder named as its recipe's file, in which all but letters, digits, _, . and - is a dash",
    })
}

async function simulateOne(run: {
  name: string
  recipe: Recipe
  folder: string
  pool: Parameters<typeof simulate>[0]["pool"]
  workers: number
}): Promise<Simulated> {
  const { name, recipe, folder, pool, workers } = run
  await makeFolder(folder)
  const view = federationView(process.stderr)
  const result = await untilInterrupted((signal) => simulate({ recipe, out: folder, pool, workers, view, signal }))
  const reported = reportedRun(name, recipe, result)
  await writeText(join(folder, "results.jsonl"), resultLines(reported))
  return { name, result, reported }
}

/** Everything a run came to, a line per round and one for the run itself: the same bytes for the same recipe. */
function resultLines({ rounds, ...run }: ReportedRun): string {
  return [run, ...rounds].map((row) => `${JSON.stringify(row)}\n`).join("")
}

function summarize(done: readonly Simulated[]): Record<string, unknown> {
  const runs = done.map(({ name, result, reported }) => {
    const { run, rounds, scores, adapter, adapterHash } = result
    const clients = reported.clients.map(({ name: client, rank, precision, device, tokens }) => {
      return { name: client, rank, precision, device, tokens }
    })
    const heldOut = scores.map(({ round, scores: { overall } }) => {
      return { round, loss: overall.loss, perplexity: perplexity(overall), accuracy: overall.accuracy }
    })
    return { name, run, rounds, clients, heldOut, ...runTotals(reported), adapter, adapterHash }
  })
  return runs.length === 1 ? { ...runs[0] } : { runs }
}

function printSummary(done: readonly Simulated[], report: string): void {
  const rows = done.map(({ name, result, reported }) => {
    const totals = runTotals(reported)
    const shown = [result.scores[0], result.scores.at(-1)].map((scored) =>
      scored ? perplexity(scored.scores.overall).toFixed(2) : "-",
    )
    const turns = reported.rounds.flatMap(({ clients }) => clients)
    const lost = turns.filter(({ outcome }) => outcome !== "accepted").length
    const traffic = [totals.bytesUp, totals.bytesDown].map(formatBytes)
    return [name, ...shown, ...traffic, `${totals.virtualSeconds.toFixed(0)} s`, `${lost} of ${turns.length}`]
  })
  const head = ["run", "perplexity before", "after", "up", "down", "virtual time", "not in"]
  process.stdout.write(`${renderTable(head, rows)}\n`)
  for (const { result } of done) process.stdout.write(`adapter  ${result.adapter}\n`)
  process.stdout.write(`report   ${report}\n`)
}
