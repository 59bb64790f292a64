import { accumulatorOf } from "./cohort.js"
import { grow, ownTerms, projectFresh } from "./fresh.js"
import { Stacks } from "./stacks.js"
import type { Strategy } from "./strategy.js"

/**
 * Stacking: A = [p_k s_k A_k] over rows, B = [B_k] over columns, rank R = sum r_k, scale 1 (alpha = R). Exact but for
 * one rounding to f32; ranks, alphas and scaling rules may differ, and a client that did not train a module adds
 * nothing to it (shares stay those of the whole cohort). Where R passes min(M, N) the stack becomes the dense sum times
 * an identity. FLoRA, Wang et al. 2024 (arXiv:2409.05976), equation 6.
 */
export const flora: Strategy = {
  name: "flora",
  prepare: ownTerms,
  accumulate(round) {
    const stacks = new Stacks(round)
    return accumulatorOf(round, {
      checksValues: true,
      takesAtOnce: (modules) => stacks.takesAtOnce(modules),
      take: (...contributions) => stacks.take(contributions),
      finish: () => grow(round, stacks.drain()),
    })
  },
  project: projectFresh,
}
