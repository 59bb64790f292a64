import type { HeldPrecision, ModulePlan } from "@lamina/protocol"

/** What the planner needs to know of a base; the tuner reads it from the model's files, a run carries it. */
export interface BaseShape {
  readonly hidden: number
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly ffn: number
  readonly vocabulary: number
  /** Every linear layer an adapter may attach to. */
  readonly modules: readonly Pick<ModulePlan, "name" | "outFeatures" | "inFeatures">[]
  /** Bytes of the weights in memory at each precision. */
  readonly bytes: Readonly<Record<HeldPrecision, number>>
}

/** What a client has, measured or told; 0 where nobody knows or cares. */
export interface DeviceProfile {
  /** Memory the client may use. */
  readonly memoryBytes: number
  /** Of training with the reference plan: every linear at rank 16. */
  readonly tokensPerSecond: number
  readonly uploadBytesPerSecond: number
  readonly downloadBytesPerSecond: number
  readonly uploadBytesMax: number
  readonly rankMax: number
  /** The one precision it holds the base in; empty: any of the allowed ones. */
  readonly precision: "" | HeldPrecision
  /** Measured time of earlier rounds over what was estimated then, smoothed; 1 before the first. */
  readonly timeCorrection: number
}

/** What the recipe fixes for everybody. */
export interface PlanningTerms {
  readonly precisions: readonly HeldPrecision[]
  readonly ranks: readonly number[]
  /** Most steps and rows per micro-batch; the planner may take less of both, and accumulates to keep rows per step. */
  readonly steps: number
  readonly batch: number
  /** Micro-batches of one step at `batch` rows each; default 1. */
  readonly accumulate?: number
  readonly context: number
  readonly deadlineMs: number
  /** What every client downloads before it trains. */
  readonly downloadBytes: number
  /** Numbers in A and B of the global adapter that lies frozen beneath what is trained. */
  readonly frozenParameters: number
}

/** Importance of every module, from the clients' own reports averaged by p_k; any positive unit. */
export type ModuleScores = ReadonlyMap<string, number>

/** Which limit a plan runs into: with more of it the plan would be a better one. */
export type Binding = "memory" | "time" | "upload" | "rank"

export interface Estimate {
  readonly memoryBytes: number
  readonly trainMs: number
  readonly downloadMs: number
  readonly uploadMs: number
  readonly uploadBytes: number
}

/** What one client is to train. */
export interface ClientPlan {
  readonly precision: HeldPrecision
  /** Modules that get an adapter, in the order of the base; rank above 0. */
  readonly modules: readonly { readonly name: string; readonly rank: number }[]
  readonly batch: number
  readonly accumulate: number
  readonly steps: number
  readonly gradientCheckpointing: boolean
  readonly estimate: Estimate
  readonly binding: readonly Binding[]
  /** Sum of score x gain of rank x share of the steps, over what a plan without limits would have: 0 to 1. */
  readonly value: number
  /** `highs`: nothing better is possible; `greedy`: the solver met its limit, and this is what it was to improve. */
  readonly solver: "highs" | "greedy"
}

/** One client's problem. Throws PLAN_INFEASIBLE where nothing fits, with the limit and what the smallest plan needs. */
export type PlanClient = (
  base: BaseShape,
  profile: DeviceProfile,
  scores: ModuleScores,
  terms: PlanningTerms,
) => Promise<ClientPlan>
