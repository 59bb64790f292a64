import type { Adapter, ScalingRule, StrategyName, Update } from "@lamina/protocol"

import type { CompressOptions } from "./compress.js"
import type { RoundMemory } from "./round-memory.js"

/** ||dW - dW*||_F / ||dW*||_F of one module; 0 when both are zero, Infinity when only dW* is. */
export interface ModuleError {
  readonly module: string
  readonly relativeError: number
}

/** What a recipe tells its strategy. */
export interface StrategySettings {
  readonly alphaPerRank: number
  readonly scaling: ScalingRule
  /** How the global adapter is kept small after a round. */
  readonly compress: CompressOptions
  /** `florist`: relative error of the round's own aggregate that may be cut away. */
  readonly tau: number
  /** `hetlora`: ranks beyond this share of a client's are pruned where they carry little; 1: never. */
  readonly pruneTo: number
  /** `fedpipe`: how mixed ranks of one module are combined. */
  readonly combine: "stack" | "pad"
  readonly serverOptimizer: ServerOptimizer
}

/** FedOpt, Reddi et al. 2021 (arXiv:2003.00295), algorithm 2. */
export interface ServerOptimizer {
  readonly name: "none" | "avgm" | "adam" | "yogi"
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly tau: number
}

/** What a client affords in a round. */
export interface ClientLimits {
  readonly clientId: string
  readonly rankMax: number
}

/** What a strategy decides of a client's plan. */
export interface ClientTerms extends ClientLimits {
  readonly rank: number
  /** One seed of initial A for all clients, or each its own. */
  readonly initSeed: "shared" | "own"
  /** A stays as it was drawn. */
  readonly freezeA: boolean
}

/** What one client downloads: per module, first the factors it trains on, then those it keeps frozen. */
export interface Projection {
  readonly adapter: Adapter
  /** By module: how many leading rows of A (columns of B) are where the client's own factors start; 0: none. */
  readonly startRanks: ReadonlyMap<string, number>
  /** ||projected - global||_F / ||global||_F over all modules, 0 where nothing was cut. */
  readonly relativeError: number
}

/** A round to aggregate. */
export interface RoundInput {
  readonly settings: StrategySettings
  /** The global adapter the clients started from; undefined in the first round. */
  readonly global: Adapter | undefined
  /** What the strategy itself kept from the round before (moments of a server optimizer); opaque to others. */
  readonly state: Adapter | undefined
  /** Who takes part, in aggregation order. */
  readonly clients: readonly RoundClient[]
  /** What `flora` stacks in where rankMax is known of all; its owner releases it. Fresh memory otherwise. */
  readonly memory?: RoundMemory
}

/** One client of a round. */
export interface RoundClient {
  readonly clientId: string
  /** At least 0; p_k = weight / sum. */
  readonly weight: number
  /**
   * No module of its update has more ranks, where that is known (from its plan, say). It changes no result; where it
   * is known of all, a stack takes each value to its place as it comes, and not a second time at the end.
   */
  readonly rankMax?: number
}

/** Takes the updates of a round one after another, or some at a time, so that nobody needs to hold them all. */
export interface Accumulator {
  /**
   * The next updates, in the order of `clients`; any grouping gives the same bits. Their values are not kept by
   * reference. Throws UPDATE_MODULE, UPDATE_SHAPE, UPDATE_RANK (more than the client's rankMax), UPDATE_NOT_FINITE,
   * UPLOAD_CONFLICT (not the next client), STRATEGY_UNSUITABLE; the updates before that one are added then, and nothing
   * of it and those behind it.
   */
  add(...updates: readonly Update[]): void
  /**
   * How many updates like this one are worth adding together where there is memory for them: a stack that writes the
   * columns of many takes half the time of one that writes them one after another. 1: no more than one.
   */
  atOnce(update: Update): number
  /** The result; UPLOAD_CONFLICT where updates are missing. */
  finish(): RoundResult
}

/** Who trained a module, and how much of the cohort's weight that is. */
export interface ModuleCoverage {
  readonly module: string
  readonly clients: number
  /** Sum of p_k over them, 0 to 1. */
  readonly share: number
}

export interface RoundResult {
  /** The new global adapter, modules sorted by name. */
  readonly global: Adapter
  readonly state: Adapter | undefined
  /** How far the strategy's dW of this round is from dW* = sum p_k s_k B_k A_k, in the order of module names. */
  readonly errors: readonly ModuleError[]
  /** What compressing the global adapter cut away. */
  readonly compressionErrors: readonly ModuleError[]
  readonly coverage: readonly ModuleCoverage[]
  /** Largest rank of a module before and after compression. */
  readonly stackedRank: number
  readonly rank: number
  /** `hetlora`: rank each client is to train from now on, where it is less than before. */
  readonly prunedRanks: ReadonlyMap<string, number>
}

/**
 * An aggregation rule: pure, the same to the bit whatever order updates arrived in, since they are added in one fixed
 * order.
 */
export interface Strategy {
  readonly name: StrategyName
  /** Prepare plan: what each client of a cohort trains, never above what it affords. In the order of `cohort`. */
  prepare(cohort: readonly ClientLimits[], prunedRanks?: ReadonlyMap<string, number>): ClientTerms[]
  /** Throws ROUND_EMPTY, UPLOAD_CONFLICT (a client twice) and UPDATE_WEIGHT. */
  accumulate(round: RoundInput): Accumulator
  /**
   * What a client of these terms starts from. `bytesMax`: the best truncation of what it keeps frozen that fits
   * (encodeAdapter bytes, 4 (m + n) per rank and module); 0: no budget. Throws STRATEGY_UNSUITABLE where the budget is
   * below what the client must train on.
   */
  project(global: Adapter, terms: ClientTerms, budget: { readonly bytesMax: number }): Projection
}

/** distance / size as a relative error. */
export function relativeTo(size: number, distance: number): number {
  return distance === 0 ? 0 : distance / size
}
