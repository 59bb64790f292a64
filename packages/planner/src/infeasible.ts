import { LaminaError } from "@lamina/protocol/errors"

import type { Estimate } from "./api.js"
import { estimateOf, limitsOf, precisionsOf } from "./problem.js"
import type { Problem } from "./problem.js"
import { batchesOf } from "./search.js"

/** PLAN_INFEASIBLE with each limit that even the smallest plan passes, what there is, and what it needs. */
export function infeasible(problem: Problem): LaminaError {
  const limits = limitsOf(problem)
  const smallest = smallestPlans(problem)
  const need = (of: (estimate: Estimate) => number): number => Math.min(...smallest.map(of))
  const roundMs = ({ downloadMs, trainMs, uploadMs }: Estimate): number => downloadMs + trainMs + uploadMs
  const inMemory = smallest.filter(({ memoryBytes }) => memoryBytes <= limits.memoryBytes)
  const problems = [
    [limits.memoryBytes, need(({ memoryBytes }) => memoryBytes), "memory", "bytes"],
    [limits.uploadBytes, need(({ uploadBytes }) => uploadBytes), "upload", "bytes"],
    // in the memory there is, if there is any: saving memory takes time
    [limits.roundMs, Math.min(...(inMemory.length > 0 ? inMemory : smallest).map(roundMs)), "time", "ms"],
  ] as const
  const passed = problems.filter(([limit, needed]) => needed > limit)
  const said = (passed.length > 0 ? passed : problems)
    .map(([limit, needed, what, unit]) => `${what}: ${limit} ${unit}, needed ${Math.ceil(needed)}`)
    .join("; ")
  const message =
    passed.length > 0
      ? `even the smallest plan is too large for the client's ${said}`
      : `some plan keeps to each of the client's limits, none to all at once: ${said}`
  return new LaminaError("PLAN_INFEASIBLE", message, {
    hint: "give the client more of it, allow a smaller precision, context or rank, or leave the client out",
  })
}

/** One module at the smallest rank for one step, as cheap as can be, with and without gradient checkpointing. */
function smallestPlans(problem: Problem): Estimate[] {
  const { base, profile, terms, modules, ranks } = problem
  const batch = batchesOf(problem).at(-1) ?? 1
  return precisionsOf(profile, terms).flatMap((precision) =>
    [false, true].flatMap((gradientCheckpointing) =>
      modules.map(({ layer, size }) => {
        const setting = { precision, batch, gradientCheckpointing, steps: 1, lowestLayer: Math.min(layer, base.layers) }
        return estimateOf(problem, setting, size * (ranks[0] as number))
      }),
    ),
  )
}
