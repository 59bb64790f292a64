import type { Adapter } from "@lamina/protocol"

import type { CohortInput } from "./cohort.js"

export type StrategyName = "flora" | "fedit"

/** ||dW - dW*||_F / ||dW*||_F of one module; 0 when both are zero, Infinity when only dW* is. */
export interface ModuleError {
  readonly module: string
  readonly relativeError: number
}

/**
 * What a strategy made of a cohort: dW of every module as an adapter, and how far it is from dW* = sum p_k s_k B_k A_k.
 */
export interface Aggregate {
  /** Modules sorted by name. */
  readonly adapter: Adapter
  /** In the order of `adapter.modules`. */
  readonly errors: readonly ModuleError[]
}

/** An aggregation rule: a pure function of a cohort's updates, the same to the bit whatever order they come in. */
export interface Strategy {
  readonly name: StrategyName
  /** Throws what `moduleCohorts` throws, and STRATEGY_UNSUITABLE when the rule does not apply to these updates. */
  aggregate(input: CohortInput): Aggregate
}

/** distance / size as a relative error. */
export function relativeTo(size: number, distance: number): number {
  return distance === 0 ? 0 : distance / size
}
