import { Averages, perRank } from "./averages.js"
import { accumulatorOf } from "./cohort.js"
import { averagedResult, projectPrefix, sharedTerms } from "./continuing.js"
import type { Strategy } from "./strategy.js"

/**
 * Pads every client's factors with zero rows of A and columns of B to the largest rank R of the round and averages them
 * over ALL clients, A = sum p_k A_k, B = sum p_k (s_k / s) B_k, where s is the scale of alpha = alphaPerRank·R. Not
 * exact, and rows that few clients train shrink by their share. The baseline of FLoRA (arXiv:2409.05976, section 3) and
 * HetLoRA (arXiv:2401.06432).
 */
export const zeropad: Strategy = {
  name: "zeropad",
  prepare: sharedTerms,
  accumulate(round) {
    const averages = new Averages(round)
    return accumulatorOf(round, {
      take: (contribution) => averages.take(contribution, contribution.share),
      finish: () => averagedResult(round, averages, averages.drain(1, perRank(round))),
    })
  },
  project: projectPrefix("zeropad"),
}
