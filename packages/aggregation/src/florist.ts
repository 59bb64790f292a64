import { accumulatorOf } from "./cohort.js"
import { compress } from "./compress.js"
import { ExactSums, grow, ownTerms, projectFresh } from "./fresh.js"
import type { ModuleAggregate } from "./fresh.js"
import type { Strategy } from "./strategy.js"

/**
 * `flora`, then the round's own stack at the smallest rank per module that keeps its relative error within
 * `settings.tau` (tail energy within tau²), before it goes onto the global adapter. The errors reported are those of
 * the truncated stack. FLoRIST, arXiv:2506.09199, whose threshold is the energy kept: 1 - tau².
 */
export const florist: Strategy = {
  name: "florist",
  prepare: ownTerms,
  accumulate(round) {
    const sums = new ExactSums(round)
    return accumulatorOf(round, {
      take: (contribution) => sums.take(contribution),
      finish: () => grow(round, truncated(sums, round.settings.tau)),
    })
  },
  project: projectFresh,
}

function* truncated(sums: ExactSums, tau: number): Generator<ModuleAggregate> {
  for (const [name, sum] of sums.drain()) {
    const stack = sum.stack()
    if (stack) {
      const module = compress({ modules: [stack] }, { tau }).adapter.modules[0]!
      yield { name, module, relativeError: sum.errorOf(module) }
    } else yield { name, module: undefined, relativeError: 0 }
  }
}
