import { accumulatorOf } from "./cohort.js"
import { SpareFloats } from "./factor-store.js"
import { ExactSums, grow, ownTerms, projectFresh } from "./fresh.js"
import type { ModuleAggregate } from "./fresh.js"
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
    const sums = new ExactSums(round)
    return accumulatorOf(round, {
      take: (contribution) => sums.take(contribution),
      finish: () => grow(round, stacks(sums)),
    })
  },
  project: projectFresh,
}

/** Every module's exact stack. */
function* stacks(sums: ExactSums): Generator<ModuleAggregate> {
  const spare = new SpareFloats()
  for (const [name, sum] of sums.drain()) {
    const stack = sum.takeStack(spare)
    yield { name, module: stack?.module, relativeError: stack?.relativeError ?? 0 }
  }
}
