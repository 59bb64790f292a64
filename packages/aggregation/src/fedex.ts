import { encodeAdapter } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"

import type { AveragedModule, Averages } from "./averages.js"
import { compress } from "./compress.js"
import type { CompressOptions } from "./compress.js"
import { budgetTooSmall, equalTerms, withUntrained } from "./continuing.js"
import { averageAlike } from "./equal-factors.js"
import { largestRank } from "./fresh.js"
import { appended, normOf, rankSlice } from "./module-factors.js"
import { projectFrozen } from "./project-frozen.js"
import { stackOnto } from "./stack-onto.js"
import { relativeTo } from "./strategy.js"
import type { RoundInput, RoundResult, Strategy } from "./strategy.js"

/** Half a unit in the last place of f32, relative: a residual below it is rounding, and nothing is carried. */
const ROUNDING = 2 ** -24

/**
 * As `fedit`, and what averaging missed, dW* - s·B·A, is carried as extra rows behind the trained ones: the global
 * adapter is [average (r rows) | frozen rows of before | residual], all at the average's scale, and clients train the
 * first rows beside the others, frozen. Exact; only the frozen rows are compressed. Which rows are trained is the
 * plan's rank alone: with a lower one the surplus rows are frozen from then on, with a higher one frozen rows are
 * trained again, and the sum stays what it is. FedEx-LoRA, Singhal et al. 2024 (arXiv:2410.09432), equations 9 to 11;
 * there the residual is merged into the base.
 */
export const fedex: Strategy = {
  name: "fedex",
  prepare: equalTerms,
  accumulate(round) {
    return averageAlike("fedex", round, (averages, averaged) => withResiduals(round, averages, averaged))
  },
  project(global, { clientId, rank }, budget) {
    const startRankOf = (module: AdapterModule): number => Math.min(rank, module.rank)
    const { bytesMax } = budget
    if (bytesMax > 0) {
      const starts = global.modules.map((module) => rankSlice(module, { from: 0, to: startRankOf(module) }))
      const bytes = encodeAdapter({ modules: starts }).byteLength
      if (bytes > bytesMax) throw budgetTooSmall("fedex", { clientId, bytes, bytesMax })
    }
    return projectFrozen(global, startRankOf, budget)
  },
}

function withResiduals(
  round: RoundInput,
  averages: Averages,
  averagedModules: Iterable<AveragedModule>,
): Omit<RoundResult, "coverage"> {
  const before = new Map((round.global?.modules ?? []).map((module) => [module.name, module]))
  const made = Array.from(averagedModules, (averaged) =>
    withResidual(averaged, before.get(averaged.name), round.settings.compress),
  )
  const global: Adapter = withUntrained(
    round.global,
    made.map(({ module }) => module),
  )
  const list = (kind: "error" | "compressionError") =>
    made.map((each) => ({ module: each.module.name, relativeError: each[kind] }))
  return {
    ...{ global, state: averages.state(), errors: list("error"), compressionErrors: list("compressionError") },
    stackedRank: made.reduce((largest, { stackedRank }) => Math.max(largest, stackedRank), 0),
    ...{ rank: largestRank(global.modules), prunedRanks: new Map() },
  }
}

/** One module: the errors are relative to dW* of the round, and to the module before compression. */
function withResidual(
  { name, average, stepped, exact }: AveragedModule,
  before: AdapterModule | undefined,
  { tau, maxRank }: CompressOptions,
): { module: AdapterModule; error: number; compressionError: number; stackedRank: number } {
  const { rank } = average
  const residual = exact.errorOf(average) < ROUNDING ? undefined : exact.residual(average)
  const error = exact.errorOf(residual ? appended(stepped, residual) : stepped)
  const frozen = before && before.rank > rank ? rankSlice(before, { from: rank, to: before.rank }) : undefined
  const parts = [frozen, residual].map((part) => ({ modules: part ? [part] : [] }))
  const tail = stackOnto(parts[0], parts[1]!).modules.find((module) => module.name === name)
  if (!tail) return { module: stepped, error, compressionError: 0, stackedRank: rank }
  const room = maxRank === undefined ? {} : { maxRank: Math.max(1, maxRank - rank) }
  const { adapter, errors } = compress({ modules: [tail] }, { tau, ...room })
  const cut = errors[0]!.relativeError
  return {
    module: appended(stepped, adapter.modules[0]!),
    error,
    compressionError: cut === 0 ? 0 : relativeTo(normOf(appended(stepped, tail)), cut * normOf(tail)),
    stackedRank: rank + tail.rank,
  }
}
