import { compareNames } from "@lamina/protocol"
import type { AdapterModule } from "@lamina/protocol"

import { perRank } from "./averages.js"
import { accumulatorOf } from "./cohort.js"
import type { Contribution } from "./cohort.js"
import { ExactSum } from "./exact-sum.js"
import { FactorSum } from "./factor-sum.js"
import { grow, ownTerms, projectFresh } from "./fresh.js"
import type { ModuleAggregate } from "./fresh.js"
import { newScratches } from "./module-factors.js"
import type { FactorScratches } from "./module-factors.js"
import { RoundMemory } from "./round-memory.js"
import type { RoundInput, Strategy } from "./strategy.js"

/**
 * Selective partial aggregation: per module over the clients that trained it, with shares renormalised among them,
 * q_k = p_k / (sum of p over them). `combine: "stack"` stacks as `flora` does, exactly; `"pad"` averages padded factors
 * as `zeropad` does. Either is stacked onto the global adapter, and modules nobody trained keep their value. The errors
 * are against sum q_k s_k B_k A_k. FedPipe, arXiv:2404.06448, section IV; whose plans packages/planner makes.
 */
export const fedpipe: Strategy = {
  name: "fedpipe",
  prepare: ownTerms,
  accumulate(round) {
    const modules = new Map<string, Contributors>()
    const scratches = newScratches()
    return accumulatorOf(round, {
      take: (contribution) => take(modules, contribution, { ...round, scratches }),
      finish: () => grow(round, combined(modules, round)),
    })
  },
  project: projectFresh,
}

/** What came for one module. */
interface Contributors {
  readonly exact: ExactSum
  /** Where factors are padded and averaged. */
  readonly padded: FactorSum | undefined
  /** Sum of p_k over its contributors. */
  share: number
}

/** Shared by the sums of a round. */
interface RoundWork extends RoundInput {
  readonly scratches: FactorScratches
}

function take(modules: Map<string, Contributors>, { share, modules: trained }: Contribution, round: RoundWork): void {
  for (const module of trained) {
    const known = modules.get(module.name) ?? begin(module, round)
    modules.set(module.name, known)
    known.exact.add(module, share)
    known.padded?.add(module, share)
    known.share += share
  }
}

function begin(module: AdapterModule, { settings, clients, scratches }: RoundWork): Contributors {
  const padded = settings.combine === "pad" ? new FactorSum(module, { sharedA: false }) : undefined
  return { exact: new ExactSum(module, { clients: clients.length, scratches }), padded, share: 0 }
}

function* combined(modules: Map<string, Contributors>, round: RoundInput): Generator<ModuleAggregate> {
  const memory = new RoundMemory(0)
  for (const name of [...modules.keys()].sort(compareNames)) {
    const { exact, padded, share } = modules.get(name)!
    modules.delete(name)
    exact.divide(share)
    if (padded && !exact.isEmpty) {
      const target = perRank(round)(padded.rank)
      const module = padded.module(padded.average(share, target), target)
      yield { name, module, relativeError: exact.errorOf(module) }
    } else {
      const stack = exact.takeStack(memory)
      yield { name, module: stack?.module, relativeError: stack?.relativeError ?? 0 }
    }
  }
}
