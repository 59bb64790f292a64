import { LaminaError } from "@lamina/protocol"
import type { AdapterModule } from "@lamina/protocol"

import { Averages, perRank } from "./averages.js"
import { accumulatorOf } from "./cohort.js"
import { averagedResult, projectPrefix, sharedTerms } from "./continuing.js"
import type { Strategy } from "./strategy.js"

/**
 * A is drawn once, the same for all, and never trained; B is averaged, B = sum p_k (s_k / s) B_k padded with zero
 * columns, s the scale of alpha = alphaPerRank·R. Exact but for one rounding of B, since all share A; a smaller rank
 * trains the first rows of it. Clients whose A is not the beginning of the longest one (and of the global adapter's):
 * STRATEGY_UNSUITABLE. FFA-LoRA, Sun et al. 2024 (arXiv:2403.12313).
 */
export const ffa: Strategy = {
  name: "ffa",
  prepare: (cohort) => sharedTerms(cohort).map((terms) => ({ ...terms, freezeA: true })),
  accumulate(round) {
    const averages = new Averages(round, { sharedA: true })
    const before = new Map((round.global?.modules ?? []).map((module) => [module.name, module]))
    return accumulatorOf(round, {
      take(contribution) {
        for (const module of contribution.modules) {
          const shared = averages.sumOf(module.name)?.sharesA(module) ?? true
          if (!shared || !beginsAlike(module, before.get(module.name)))
            throw new LaminaError(
              "STRATEGY_UNSUITABLE",
              `ffa: module ${module.name}: expected the rows of one frozen A from every client, got others from ` +
                contribution.clientId,
              { hint: `strategy "flora" stacks adapters that share nothing` },
            )
        }
        averages.take(contribution, contribution.share)
      },
      finish: () => averagedResult(round, averages, averages.drain(1, perRank(round))),
    })
  },
  project: projectPrefix("ffa"),
}

function beginsAlike({ a }: AdapterModule, before: AdapterModule | undefined): boolean {
  return !before || a.every((value, i) => i >= before.a.length || value === before.a[i])
}
