import { factorCount } from "@lamina/protocol"
import type { Plan } from "@lamina/protocol"

import type { BaseShape } from "./api.js"
import { memoryBytes } from "./memory-model.js"
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

/** The cost of a plan as it is sent. */
export function costOf(base: BaseShape, plan: Plan): PlanCost {
  const { batch, context, precision, gradientCheckpointing, steps, accumulate, modules } = plan
  const lowestLayer = Math.min(...modules.map(({ name }) => layerOf(name, base)))
  const parameters = factorCount(modules)
  const use = { context, lowestLayer, parameters, gradientCheckpointing }
  return {
    memoryBytes: memoryBytes(base, { ...use, precision, batch }),
    tokens: steps * accumulate * batch * context,
    relativeCost: relativeCost(base, use),
  }
}
