import type { Adapter } from "@lamina/protocol"
import type { Recipe } from "@lamina/protocol/recipe"
import { moduleShapes, readModelConfig, sharedBase } from "@lamina/tuner"
import type { LoraModule, TrainingJob, TunerPool } from "@lamina/tuner"

import { readIfThere, writeText } from "../output/files.js"
import type { FederationView } from "../output/progress.js"
import { pooled, scoreHeldOut } from "../simulate/held-out.js"
import type { Score, Scores } from "../simulate/held-out.js"
import { namedClients } from "../simulate/virtual-client.js"
import type { VirtualClient } from "../simulate/virtual-client.js"

interface LocalOnly {
  readonly recipe: Recipe
  readonly pool: TunerPool
  readonly view: FederationView
  readonly signal: AbortSignal
  /** The finished scores are kept here, so that a demo that is run again goes on. */
  readonly cache: string
}

/**
 * Each client alone: the same rounds and steps on its own data, its adapter going on from round to round. Small data
 * overfits, so a
 * client stops when its held-out text gets no better, and its best round counts: the most that stopping in time could
 * give it.
 */
export async function scoreLocalOnly(setting: LocalOnly): Promise<Scores> {
  const known = await readIfThere(setting.cache)
  if (known !== undefined) return JSON.parse(known) as Scores
  const clients = namedClients(setting.recipe)
  const shapes = moduleShapes(await readModelConfig(setting.recipe.base), setting.recipe.lora.targetModules)
  const best = await Promise.all(
    clients.map(async (client) => {
      const { rank } = client
      const modules = shapes.map((shape) => ({ ...shape, rank, alpha: setting.recipe.lora.alphaPerRank * rank }))
      return [client.name, await bestRound(setting, client, modules)] as const
    }),
  )
  const scores = { perClient: Object.fromEntries(best), overall: pooled(best.map(([, score]) => score)) }
  await writeText(setting.cache, JSON.stringify(scores))
  return scores
}

async function bestRound(setting: LocalOnly, client: VirtualClient, modules: readonly LoraModule[]): Promise<Score> {
  const { recipe, pool, view, signal } = setting
  let initial: Adapter | undefined
  let best: { round: number; score: Score } | undefined
  for (let round = 1; round <= recipe.rounds; round++) {
    const job = await localJob(recipe, client, { modules, seed: recipe.seed + round, initial })
    const { adapter } = await pool.train(job, { signal })
    initial = adapter
    const score = await scoreOn(setting, client, adapter)
    if (best && score.loss >= best.score.loss) break
    best = { round, score }
  }
  if (!best) throw new Error("a recipe has at least one round")
  view.note(`  ${client.name}: best after ${best.round} of ${recipe.rounds} rounds alone`)
  return best.score
}

async function scoreOn(setting: LocalOnly, client: VirtualClient, adapter: Adapter): Promise<Score> {
  const { name, heldOut, precision } = client
  if (heldOut === undefined) throw new Error(`client ${name} of the demo has no held-out text`)
  const { pool, recipe, signal } = setting
  const where = { pool, baseFolder: recipe.base, context: recipe.training.context, signal }
  return (await scoreHeldOut(where, [{ name, data: heldOut, precision }], () => [adapter])).overall
}

async function localJob(
  recipe: Recipe,
  client: VirtualClient,
  { modules, seed, initial }: { modules: readonly LoraModule[]; seed: number; initial: Adapter | undefined },
): Promise<TrainingJob> {
  return {
    base: await sharedBase(recipe.base, client.precision),
    modules,
    scaling: recipe.lora.scaling,
    settings: { ...recipe.training, dropout: recipe.lora.dropout, seed, compute: "bf16" },
    data: client.data,
    ...(initial ? { initial } : {}),
  }
}
