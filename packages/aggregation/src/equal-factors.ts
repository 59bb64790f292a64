import { LaminaError } from "@lamina/protocol"
import type { AdapterModule, StrategyName } from "@lamina/protocol"

import { Averages } from "./averages.js"
import type { AveragedModule } from "./averages.js"
import { accumulatorOf } from "./cohort.js"
import type { Contribution } from "./cohort.js"
import type { Accumulator, RoundInput, RoundResult } from "./strategy.js"

/**
 * The average over all clients, sum p_k A_k and sum p_k B_k, of updates that must be alike; `finish` makes the round's
 * result of it.
 */
export function averageAlike(
  strategy: StrategyName,
  round: RoundInput,
  finish: (averages: Averages, averaged: Iterable<AveragedModule>) => Omit<RoundResult, "coverage">,
): Accumulator {
  const averages = new Averages(round)
  const check = equalFactorsCheck(strategy)
  return accumulatorOf(round, {
    take(contribution) {
      check(contribution)
      averages.take(contribution, contribution.share)
    },
    finish: () =>
      finish(
        averages,
        averages.drain(1, (_rank, first) => first),
      ),
  })
}

/**
 * A check that every client trains the same modules with the same rank, alpha and scaling; STRATEGY_UNSUITABLE with the
 * client, the module and both sides.
 */
function equalFactorsCheck(strategy: StrategyName): (contribution: Contribution) => void {
  const hint = `strategy "flora" stacks adapters of any rank`
  const refuse = (module: string, what: string): never => {
    throw new LaminaError("STRATEGY_UNSUITABLE", `${strategy}: module ${module}: ${what}`, { hint })
  }
  let first: { clientId: string; said: ReadonlyMap<string, string> } | undefined
  return ({ clientId, modules }) => {
    const said = new Map(modules.map((module) => [module.name, say(module)]))
    if (!first) {
      first = { clientId, said }
      return
    }
    for (const name of first.said.keys())
      if (!said.has(name)) refuse(name, `expected it from every client, got none from ${clientId}`)
    for (const [name, got] of said) {
      const expected = first.said.get(name)
      if (expected === undefined) refuse(name, `expected it from every client, got none from ${first.clientId}`)
      if (got !== expected) refuse(name, `expected ${expected} from every client, got ${got} from ${clientId}`)
    }
  }
}

function say({ rank, alpha, scaling }: AdapterModule): string {
  return `rank ${rank}, alpha ${alpha}, scaling ${scaling}`
}
