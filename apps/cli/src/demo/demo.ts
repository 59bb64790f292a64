import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

import { stringify } from "yaml"

import { parseRecipe } from "@lamina/protocol/recipe"
import type { Recipe, RecipeInput } from "@lamina/protocol/recipe"
import type { TunerPool } from "@lamina/tuner"

import { untilInterrupted } from "../interrupt.js"
import { writeText } from "../output/files.js"
import { makeFolder } from "../output/folder.js"
import { printJson } from "../output/json.js"
import { federationView } from "../output/progress.js"
import { openPool } from "../pool.js"
import type { BackendChoice } from "../pool.js"
import { simulate, simulationWorkers } from "../simulate/simulation.js"
import type { SimulationResult } from "../simulate/simulation.js"
import { prepareCorpus } from "./corpus.js"
import type { ClientText } from "./corpus.js"
import { writeDemoReport } from "./demo-report.js"
import { scoreLocalOnly } from "./local-only.js"
import { demoResult, printDemo } from "./demo-result.js"
import type { DemoOutcome } from "./demo-result.js"

/** The embedded base: models/tiny of the clone. */
const BASE = fileURLToPath(new URL("../../../../models/tiny", import.meta.url))

/**
 * Chosen so that the demo ends in five minutes on two cores; longer rounds did better than more rounds at equal
 * tokens.
 */
const TRAINING = { steps: 72, batch: 2, context: 256, learningRate: 8e-3, schedule: "linear", clipNorm: 1 } as const
const ROUNDS = 3

/**
 * `npm run demo`: eight clients of unequal rank and precision. Three ways are compared on everyone's held-out text:
 * each client alone
 * (the same steps on its own data), `fedit` (needs one rank for all, so the smallest), and `flora` (each client its
 * own rank).
 */
export async function demo(options: { out: string; backend: BackendChoice; json?: boolean }): Promise<void> {
  const started = performance.now()
  const out = resolve(options.out)
  await makeFolder(out)
  const texts = await prepareCorpus(join(out, "data"))
  const pool = await openPool({ ...simulationWorkers(), backend: options.backend })
  try {
    const outcome = await untilInterrupted((signal) => compare({ out, texts, pool, signal }))
    const report = await writeDemoReport(join(out, "report.html"), outcome)
    const result = demoResult(outcome, { wallSeconds: (performance.now() - started) / 1000, report })
    await writeText(join(out, "result.json"), `${JSON.stringify(result, undefined, 2)}\n`)
    if (!options.json) printDemo(result)
    else printJson(result)
  } finally {
    await pool.close()
  }
}

interface Comparison {
  readonly out: string
  readonly texts: readonly ClientText[]
  readonly pool: TunerPool
  readonly signal: AbortSignal
}

async function compare({ out, texts, pool, signal }: Comparison): Promise<DemoOutcome> {
  const smallest = Math.min(...texts.map((text) => text.rank))
  const flora = await federate("flora", texts, { out, pool, signal })
  const fedit = await federate(
    "fedit",
    texts.map((text) => ({ ...text, rank: smallest })),
    { out, pool, signal },
  )
  const view = federationView(process.stderr)
  view.note("each client alone")
  const local = await scoreLocalOnly({
    recipe: demoRecipe("flora", texts),
    pool,
    view,
    signal,
    cache: join(out, "local.json"),
  })
  view.close()
  return { flora, fedit, local }
}

async function federate(
  strategy: "flora" | "fedit",
  texts: readonly ClientText[],
  { out, pool, signal }: { out: string; pool: TunerPool; signal: AbortSignal },
): Promise<SimulationResult> {
  const recipe = demoRecipe(strategy, texts)
  const folder = join(out, strategy)
  await makeFolder(folder)
  await writeText(join(folder, "recipe.yaml"), stringify(recipe))
  const view = federationView(process.stderr)
  view.note(`${strategy}: ${texts.length} clients, ranks ${texts.map((text) => text.rank).join(",")}`)
  return simulate({ recipe, out: folder, pool, view, signal })
}

function demoRecipe(strategy: "flora" | "fedit", texts: readonly ClientText[]): Recipe {
  const input: RecipeInput = {
    name: `presidents-${strategy}`,
    base: BASE,
    rounds: ROUNDS,
    seed: 1945,
    strategy,
    training: TRAINING,
    simulation: {
      clients: texts.map(({ name, train, heldOut, rank, precision }) => ({
        name,
        data: train,
        heldOut,
        rank,
        precision,
      })),
    },
  }
  return parseRecipe(input)
}
