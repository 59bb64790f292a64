import { STRATEGIES } from "@lamina/aggregation"
import type { ClientLimits, ClientTerms } from "@lamina/aggregation"
import { hash, utf8 } from "@lamina/crypto"
import type { ClientPlan } from "@lamina/planner"
import { plannedPrecisions } from "@lamina/protocol"
import type { Capability, Plan } from "@lamina/protocol"
import type { Recipe } from "@lamina/protocol/recipe"

import type { CohortMember } from "../round/round.js"
import { u32le } from "./u32le.js"
import type { TrainedModule } from "./run-request.js"

/** A cohort member with what it can afford. */
export interface PlannedClient extends CohortMember {
  readonly capability: Capability
}

/** A client's view of the global adapter, as its plan names it. */
export interface ClientView {
  /** 32 bytes; empty: the header's. */
  readonly adapterHash: Uint8Array
  /** By module: leading rows of the view that the client's own factors start from. */
  readonly startRanks: Readonly<Record<string, number>>
}

export interface PlanningWork {
  readonly recipe: Recipe
  readonly modules: readonly TrainedModule[]
  readonly round: number
  /** What the strategy took from clients for good, by client id. */
  readonly prunedRanks?: ReadonlyMap<string, number>
  /** The view a client of these terms gets; absent before anything was published. */
  readonly viewOf?: (terms: ClientTerms, client: PlannedClient) => ClientView
  /** What the planner chose for every client, by its id: `fedpipe`. */
  readonly chosen?: ReadonlyMap<string, ChosenPlan>
}

/** The part of a plan that the planner decides. */
export type ChosenPlan = Pick<ClientPlan, "precision" | "batch" | "accumulate" | "steps" | "gradientCheckpointing"> & {
  readonly modules: readonly { readonly name: string; readonly rank: number }[]
}

/** Largest rank a client may be given: the recipe's, or its own limit where that is lower. */
export function limitsOf({ id, capability }: PlannedClient, { lora }: Recipe): ClientLimits {
  return { clientId: id, rankMax: Math.min(lora.rank, capability.rankMax || lora.rank) }
}

/** What the strategy decides for each client of a cohort, in its order. */
export function termsOf(cohort: readonly PlannedClient[], work: PlanningWork): ClientTerms[] {
  const limits = cohort.map((client) => limitsOf(client, work.recipe))
  return STRATEGIES[work.recipe.strategy].prepare(limits, work.prunedRanks)
}

/**
 * What each client of a cohort trains: the rank its strategy gives it within what it affords, alpha in step with it,
 * so that all ranks step alike; modules, precision, batch and steps by the planner where it was asked.
 */
export function planCohort(cohort: readonly PlannedClient[], work: PlanningWork): ReadonlyMap<string, Plan> {
  const terms = termsOf(cohort, work)
  return new Map(cohort.map((client, i) => [client.id, planOf(client, terms[i]!, work)]))
}

function planOf(client: PlannedClient, terms: ClientTerms, work: PlanningWork): Plan {
  const { recipe, round } = work
  const { lora, training, globalAdapter } = recipe
  const chosen = work.chosen?.get(client.id)
  if (work.chosen && !chosen) throw new TypeError("expected a plan for every client that is planned")
  const view = work.viewOf?.(terms, client)
  const seed = planSeed({ seed: recipe.seed, round, name: client.name })
  return {
    modules: modulesOf(work, terms, chosen).map(({ rank, ...module }) => {
      const startRank = Math.min(rank, view?.startRanks[module.name] ?? 0)
      return { ...module, rank, alpha: lora.alphaPerRank * rank, startRank }
    }),
    scaling: lora.scaling,
    dropout: lora.dropout,
    precision: chosen?.precision ?? (client.capability.precision || plannedPrecisions(globalAdapter)[0]),
    steps: chosen?.steps ?? training.steps,
    batch: chosen?.batch ?? training.batch,
    context: training.context,
    accumulate: chosen?.accumulate ?? training.accumulate,
    learningRate: training.learningRate,
    schedule: training.schedule,
    warmupSteps: training.warmupSteps,
    clipNorm: training.clipNorm,
    weightDecay: training.weightDecay,
    seed,
    lossOn: training.lossOn,
    downloadBytesMax: client.capability.downloadBytesMax,
    proximal: training.proximal,
    gradientCheckpointing: chosen?.gradientCheckpointing ?? training.gradientCheckpointing,
    initSeed: terms.initSeed === "own" ? seed : initSeed(recipe.seed),
    freezeA: terms.freezeA,
    globalAdapterHash: view?.adapterHash ?? new Uint8Array(0),
    reportScores: recipe.strategy === "fedpipe",
    mergeGlobal: globalAdapter.merge,
  }
}

function modulesOf(
  { modules }: PlanningWork,
  { rank }: ClientTerms,
  chosen: ChosenPlan | undefined,
): (TrainedModule & { rank: number })[] {
  if (!chosen) return modules.map((module) => ({ ...module, rank }))
  const ranks = new Map(chosen.modules.map((module) => [module.name, module.rank]))
  return modules.flatMap((module) => {
    const planned = ranks.get(module.name) ?? 0
    return planned > 0 ? [{ ...module, rank: planned }] : []
  })
}

/** One initial A for all clients of a run: the first four bytes, little-endian, of H("init" ‖ recipe seed). */
function initSeed(seed: number): number {
  return firstWord(hash(utf8("init"), u32le(seed)))
}

/**
 * The first four bytes, little-endian, of H("seed" ‖ recipe seed ‖ round ‖ client name): a fresh key changes nothing.
 */
export function planSeed({ seed, round, name }: { seed: number; round: number; name: string }): number {
  return firstWord(hash(utf8("seed"), u32le(seed), u32le(round), utf8(name)))
}

function firstWord(digest: Uint8Array): number {
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
