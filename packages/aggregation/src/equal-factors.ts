import { LaminaError } from "@lamina/protocol"
import type { AdapterModule, StrategyName } from "@lamina/protocol"

import type { Contribution } from "./cohort.js"

/**
 * A check that every client trains the same modules with the same rank, alpha and scaling; STRATEGY_UNSUITABLE with the
 * client, the module and both sides.
 */
export function equalFactorsCheck(strategy: StrategyName): (contribution: Contribution) => void {
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
