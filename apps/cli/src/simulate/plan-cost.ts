import { costOf } from "@lamina/planner"
import type { BaseShape } from "@lamina/planner"

import type { PlanCost } from "./device-time.js"

/** What plans cost on virtual devices: the planner's own models of memory and time. */
export function planCost(shape: BaseShape): PlanCost {
  return {
    memoryBytes: (plan, viewBytes) => costOf(shape, plan, viewBytes).memoryBytes,
    trainMs: (plan, { viewBytes, tokensPerSecond }) => {
      const { tokens, relativeCost } = costOf(shape, plan, viewBytes)
      return (1_000 * tokens * relativeCost) / tokensPerSecond
    },
  }
}
