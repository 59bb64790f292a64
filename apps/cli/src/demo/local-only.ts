import { readFile, writeFile } from "node:fs/promises"

import type { Adapter } from "@lamina/protocol"
import type { Recipe } from "@lamina/protocol/recipe"
import { moduleShapes, readModelConfig, sharedBase } from "@lamina/tuner"
import type { TunerPool } from "@lamina/tuner"

import { dataSource } from "../data-source.js"
import type { FederationView } from "../output/progress.js"
import { scoreHeldOut } from "../simulate/held-out.js"
import type { Scores } from "../simulate/held-out.js"

interface LocalOnly {
  readonly recipe: Recipe
  readonly pool: TunerPool
  readonly view: FederationView
  readonly signal: AbortSignal
  /** The finished scores are kept here, so that a demo that is run again goes on. */
  readonly cache: string
}

/** Each client trains alone for as many steps as in all rounds together, and is scored on its own held-out text. */
export async function scoreLocalOnly({ recipe, pool, view, signal, cache }: LocalOnly): Promise<Scores> {
  const known = await readFile(cache, "utf8").catch(() => undefined)
  if (known !== undefined) return JSON.parse(known) as Scores
  const clients = recipe.simulation?.clients ?? []
  const shapes = moduleShapes(await readModelConfig(recipe.base), recipe.lora.targetModules)
  const trained = await Promise.all(
    clients.map(async (client) => {
      const rank = client.rank ?? recipe.lora.rank
      const { steps, ...training } = recipe.training
      const job = {
        base: await sharedBase(recipe.base, client.precision),
        modules: shapes.map((shape) => ({ ...shape, rank, alpha: recipe.lora.alphaPerRank * rank })),
        scaling: recipe.lora.scaling,
        settings: {
          ...training,
          steps: steps * recipe.rounds,
          dropout: recipe.lora.dropout,
          seed: recipe.seed,
          compute: "bf16" as const,
        },
        data: dataSource([client.data]),
      }
      const result = await pool.train(job, { signal })
      view.note(`  ${client.name}: ${result.steps} steps alone, loss ${result.lastLoss.toFixed(3)}`)
      return [client.name, result.adapter] as const
    }),
  )
  const adapters = new Map<string, Adapter>(trained)
  const texts = clients.flatMap(({ name, heldOut, precision }) =>
    heldOut === undefined ? [] : [{ name, data: dataSource([heldOut]), precision }],
  )
  const setting = { pool, baseFolder: recipe.base, context: recipe.training.context, signal }
  const scores = await scoreHeldOut(setting, texts, (name) => {
    const adapter = adapters.get(name)
    return adapter ? [adapter] : []
  })
  await writeFile(cache, JSON.stringify(scores))
  return scores
}
