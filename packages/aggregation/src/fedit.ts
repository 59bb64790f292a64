import { Averages } from "./averages.js"
import { accumulatorOf } from "./cohort.js"
import { averagedResult, equalTerms, projectPrefix } from "./continuing.js"
import { equalFactorsCheck } from "./equal-factors.js"
import type { Strategy } from "./strategy.js"

/**
 * Averages the factors: A = sum p_k A_k, B = sum p_k B_k, summed in f64 over ALL clients and rounded once; rank, alpha
 * and scaling stay. Not exact: a product of means is no mean of products. Every client must train every module with the
 * same rank, alpha and scaling, else STRATEGY_UNSUITABLE. FedIT, Zhang et al. 2023 (arXiv:2305.05644), section 3.
 */
export const fedit: Strategy = {
  name: "fedit",
  prepare: equalTerms,
  accumulate(round) {
    const averages = new Averages(round)
    const check = equalFactorsCheck("fedit")
    return accumulatorOf(round, {
      take(contribution) {
        check(contribution)
        averages.take(contribution, contribution.share)
      },
      finish: () =>
        averagedResult(
          round,
          averages,
          averages.drain(1, (_rank, first) => first),
        ),
    })
  },
  project: projectPrefix("fedit"),
}
