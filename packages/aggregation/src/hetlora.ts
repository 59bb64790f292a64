import type { AdapterModule } from "@lamina/protocol"

import { Averages, perRank } from "./averages.js"
import { accumulatorOf } from "./cohort.js"
import { averagedResult, projectPrefix, sharedTerms } from "./continuing.js"
import { normOf, rankSlice } from "./module-factors.js"
import type { Strategy } from "./strategy.js"

/**
 * Share of p_k that a client weighs beside its norm, 1e-30: it decides only where all products are zero, or not much
 * larger than this, and then the factors are averaged by p_k instead of divided by nothing.
 */
const IDLE_WEIGHT = 1e-30

/**
 * As `zeropad`, weighted by how much a client learnt instead of by its data: ||s_k B_k A_k||_F over all its modules,
 * over the sum of it. Clients with p_k = 0 stay out. HetLoRA, Cho et al. 2024 (arXiv:2401.06432), sparsity-weighted
 * aggregation.
 *
 * Self-pruning with g = `pruneTo` < 1: a client whose rows beyond ceil(g r) carry less than 1 - g of its ||s B A||_F
 * (evenly spread ones carry sqrt(1 - g)) is to train ceil(g r) from now on. The paper prunes where that tail shrank
 * during training under a penalty on it; clients here train without one, so the threshold is ours.
 */
export const hetlora: Strategy = {
  name: "hetlora",
  prepare(cohort, prunedRanks) {
    return sharedTerms(cohort).map((terms) => ({
      ...terms,
      rank: Math.min(terms.rank, prunedRanks?.get(terms.clientId) ?? terms.rank),
    }))
  },
  accumulate(round) {
    const { pruneTo } = round.settings
    const averages = new Averages(round)
    const prunedRanks = new Map<string, number>()
    let total = 0
    return accumulatorOf(round, {
      take(contribution) {
        const norm = rootOfSquares(contribution.modules.map(normOf))
        const weight = norm + IDLE_WEIGHT * contribution.share
        total += weight
        averages.take(contribution, weight)
        const pruned = prunedRank(contribution.modules, { pruneTo, norm })
        if (pruned !== undefined) prunedRanks.set(contribution.clientId, pruned)
      },
      finish: () => ({ ...averagedResult(round, averages, averages.drain(total, perRank(round))), prunedRanks }),
    })
  },
  project: projectPrefix("hetlora"),
}

/** The rank left after pruning, the largest of a client's modules; undefined where it keeps what it has. */
function prunedRank(
  modules: readonly AdapterModule[],
  { pruneTo, norm }: { pruneTo: number; norm: number },
): number | undefined {
  if (pruneTo === 1) return undefined
  const kept = ({ rank }: AdapterModule): number => Math.ceil(pruneTo * rank)
  const tails = modules
    .filter((module) => kept(module) < module.rank)
    .map((module) => normOf(rankSlice(module, { from: kept(module), to: module.rank })))
  return tails.length > 0 && rootOfSquares(tails) < (1 - pruneTo) * norm ? Math.max(...modules.map(kept)) : undefined
}

function rootOfSquares(norms: readonly number[]): number {
  return Math.sqrt(norms.reduce((sum, norm) => sum + norm * norm, 0))
}
