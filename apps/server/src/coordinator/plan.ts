import { hash, utf8 } from "@lamina/crypto"
import type { Capability, Plan } from "@lamina/protocol"
import type { Recipe } from "@lamina/protocol/recipe"

import type { CohortMember } from "../round/round.js"
import { u32le } from "./u32le.js"
import type { TrainedModule } from "./run-request.js"

/** A cohort member with what it can afford. */
export interface PlannedClient extends CohortMember {
  readonly capability: Capability
}

/**
 * What each client of a cohort trains: the recipe's rank, or the client's own limit where that is lower; alpha in
 * step with it, so that all ranks step alike. `fedit` averages A and B and needs equal ranks: there the lowest limit
 * of the cohort holds for all.
 */
export function planCohort(
  cohort: readonly PlannedClient[],
  work: { readonly recipe: Recipe; readonly modules: readonly TrainedModule[]; readonly round: number },
): ReadonlyMap<string, Plan> {
  const { recipe } = work
  const ranks = cohort.map(({ capability }) => Math.min(recipe.lora.rank, capability.rankMax || recipe.lora.rank))
  const common = recipe.strategy === "fedit" ? Math.min(...ranks) : undefined
  return new Map(cohort.map((client, i) => [client.id, planOf(client, { ...work, rank: common ?? ranks[i]! })]))
}

function planOf(
  client: PlannedClient,
  { recipe, modules, round, rank }: { recipe: Recipe; modules: readonly TrainedModule[]; round: number; rank: number },
): Plan {
  const { lora, training } = recipe
  return {
    modules: modules.map((module) => ({ ...module, rank, alpha: lora.alphaPerRank * rank, startRank: 0 })),
    scaling: lora.scaling,
    dropout: lora.dropout,
    precision: client.capability.precision || "q8",
    steps: training.steps,
    batch: training.batch,
    context: training.context,
    accumulate: training.accumulate,
    learningRate: training.learningRate,
    schedule: training.schedule,
    warmupSteps: training.warmupSteps,
    clipNorm: training.clipNorm,
    weightDecay: training.weightDecay,
    seed: planSeed({ seed: recipe.seed, round, name: client.name }),
    lossOn: training.lossOn,
    downloadBytesMax: 0,
    proximal: training.proximal,
    gradientCheckpointing: training.gradientCheckpointing,
    initSeed: 0,
    freezeA: false,
    globalAdapterHash: new Uint8Array(0),
    reportScores: false,
    mergeGlobal: false,
  }
}

/**
 * The first four bytes, little-endian, of H("seed" ‖ recipe seed ‖ round ‖ client name): a fresh key changes nothing.
 */
export function planSeed({ seed, round, name }: { seed: number; round: number; name: string }): number {
  const digest = hash(utf8("seed"), u32le(seed), u32le(round), utf8(name))
  return new DataView(digest.buffer, digest.byteOffset).getUint32(0, true)
}

/**
 * The order in which clients are drawn for a round where more are there than wanted: by H("draw" ‖ seed ‖ round ‖
 * name), then id.
 */
export function drawingOrder<C extends CohortMember>(clients: Iterable<C>, draw: { seed: number; round: number }): C[] {
  const prefix = [utf8("draw"), u32le(draw.seed), u32le(draw.round)] as const
  const keyed = Array.from(clients, (client) => ({ client, key: hash(...prefix, utf8(client.name)) }))
  keyed.sort((left, right) => Buffer.compare(left.key, right.key) || (left.client.id < right.client.id ? -1 : 1))
  return keyed.map(({ client }) => client)
}
