import type { AdapterModule } from "@lamina/protocol"

import { accumulatorOf } from "./cohort.js"
import { projectPrefix, withUntrained } from "./continuing.js"
import { ExactSums, largestRank, ownTerms } from "./fresh.js"
import { inSingularOrder } from "./singular-order.js"
import type { ModuleError, RoundInput, RoundResult, Strategy } from "./strategy.js"

/**
 * The new global adapter is the singular value decomposition of dW* = sum p_k s_k B_k A_k, from the stack and never as
 * an M x N matrix while the ranks sum to less, rows in falling order of singular value and scale 1. Without truncation
 * exact up to rank min(M, N). A client starts from the leading rows, which are the best approximation of its rank.
 * FlexLoRA, Bai et al. 2024 (arXiv:2402.11505), equations 4 and 5.
 */
export const flexlora: Strategy = {
  name: "flexlora",
  prepare: ownTerms,
  accumulate(round) {
    const sums = new ExactSums(round)
    return accumulatorOf(round, {
      take: (contribution) => sums.take(contribution),
      finish: () => decomposed(round, sums),
    })
  },
  project: projectPrefix("flexlora"),
}

function decomposed({ global: before, settings }: RoundInput, sums: ExactSums): Omit<RoundResult, "coverage"> {
  const modules: AdapterModule[] = []
  const errors: ModuleError[] = []
  const compressionErrors: ModuleError[] = []
  let stackedRank = 0
  for (const [module, sum] of sums.drain()) {
    const stack = sum.stack()
    errors.push({ module, relativeError: stack ? sum.roundingOf(stack) : 0 })
    if (!stack) continue
    const ordered = inSingularOrder(stack, settings.compress)
    modules.push(ordered.module)
    compressionErrors.push({ module, relativeError: ordered.relativeError })
    stackedRank = Math.max(stackedRank, stack.rank)
  }
  const global = withUntrained(before, modules)
  return {
    ...{ global, state: undefined, errors, compressionErrors },
    ...{ stackedRank, rank: largestRank(global.modules), prunedRanks: new Map() },
  }
}
