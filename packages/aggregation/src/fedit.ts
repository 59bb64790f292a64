import { averagedResult, equalTerms, projectPrefix } from "./continuing.js"
import { averageAlike } from "./equal-factors.js"
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
    return averageAlike("fedit", round, (averages, averaged) => averagedResult(round, averages, averaged))
  },
  project: projectPrefix("fedit"),
}
