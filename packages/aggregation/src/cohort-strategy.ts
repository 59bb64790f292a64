import type { Adapter } from "@lamina/protocol"

import type { CohortInput } from "./cohort.js"
import type { ModuleError } from "./strategy.js"

/**
 * What a rule made of a cohort: dW of every module as an adapter, and how far it is from dW* = sum p_k s_k B_k A_k.
 */
export interface Aggregate {
  /** Modules sorted by name. */
  readonly adapter: Adapter
  /** In the order of `adapter.modules`. */
  readonly errors: readonly ModuleError[]
}

/** A rule over a whole cohort in memory. */
export interface CohortStrategy {
  readonly name: "flora" | "fedit"
  /** Throws what `moduleCohorts` throws, and STRATEGY_UNSUITABLE when the rule does not apply to these updates. */
  aggregate(input: CohortInput): Aggregate
}
