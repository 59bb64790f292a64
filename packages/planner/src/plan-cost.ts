import { factorCount } from "@lamina/protocol"
import type { Plan } from "@lamina/protocol"

import type { BaseShape } from "./api.js"
import { BYTES_PER_FROZEN_PARAMETER, memoryBytes } from "./memory-model.js"
import { layerOf } from "./problem.js"
import { relativeCost } from "./time-model.js"

/** What a plan costs whoever carries it out, by the planner's own models. */
export interface PlanCost {
  /** Peak memory of its process, bytes. */
  readonly memoryBytes: number
  /** Tokens of all its steps. */
  readonly tokens: number
  /** Time of one token over that of the reference plan (every linear at rank 16). */
  readonly relativeCost: number
}

/** The cost of a plan as it is sent, to a client whose view of the global adapter has so many bytes. */
export function costOf(base: BaseShape, plan: Plan, viewBytes: number): PlanCost {
  const { batch, context, precision, gradientCheckpointing, steps, accumulate, modules } = plan
  const lowestLayer = Math.min(...modules.map(({ name }) => layerOf(name, base)))
  const parameters = factorCount(modules)
  const frozenParameters = frozenOf(plan, viewBytes)
  const use = { context, lowestLayer, parameters, frozenParameters, gradientCheckpointing }
  return {
    memoryBytes: memoryBytes(base, { ...use, precision, batch }),
    tokens: steps * accumulate * batch * context,
    relativeCost: relativeCost(base, use),
  }
}

/** What of the view is neither trained on from where it is nor added to the base. */
function frozenOf({ mergeGlobal, modules }: Plan, viewBytes: number): number {
  if (mergeGlobal) return 0
  const started = factorCount(modules.map(({ startRank, ...module }) => ({ ...module, rank: startRank })))
  return Math.max(0, viewBytes / BYTES_PER_FROZEN_PARAMETER - started)
}
