import { decodeAdapter, encodeAdapter, STRATEGY_NAMES } from "@lamina/protocol"
import type { Adapter, StrategyName, Update } from "@lamina/protocol"
import fc from "fast-check"

import { STRATEGIES } from "./strategies.js"
import type { RoundResult } from "./strategy.js"
import { equalRankCohort, sharedACohort, unequalCohort } from "./testing/arbitraries.js"
import { adapterOf, denseError, denseOf, denseTarget, randomModule } from "./testing/cohorts.js"
import { runRound, SETTINGS } from "./testing/rounds.js"

/** Fewer than elsewhere: every property runs for nine strategies. */
const RUNS = { seed: 20260101, numRuns: 15 }

/** Cohorts each strategy takes. */
const COHORTS: Readonly<Record<StrategyName, fc.Arbitrary<Update[]>>> = {
  ...{ flora: unequalCohort, florist: unequalCohort, flexlora: unequalCohort, fedpipe: unequalCohort },
  ...{ zeropad: unequalCohort, hetlora: unequalCohort },
  ...{ fedit: equalRankCohort, fedex: equalRankCohort, ffa: sharedACohort },
}
const optimizer = { name: "adam", learningRate: 0.1, beta1: 0.9, beta2: 0.99, tau: 1e-3 } as const

/** Everything a round decided, as bytes and plain data. */
function bytesOf({ global, state, prunedRanks, ...rest }: RoundResult): unknown {
  const encoded = (adapter: Adapter | undefined) => adapter && Buffer.from(encodeAdapter(adapter)).toString("hex")
  return { ...rest, pruned: [...prunedRanks], global: encoded(global), state: encoded(state) }
}

describe.each(STRATEGY_NAMES)("%s", (name) => {
  const strategy = STRATEGIES[name]
  const settings = { pruneTo: 0.5, serverOptimizer: optimizer }

  test("two rounds run again give the same bytes", () => {
    fc.assert(
      fc.property(COHORTS[name], (updates) => {
        const twice = (): RoundResult => {
          const { global, state } = runRound(strategy, { updates, settings })
          return runRound(strategy, { updates, global, state, settings })
        }
        expect(bytesOf(twice())).toEqual(bytesOf(twice()))
      }),
      RUNS,
    )
  })

  test("a client of weight 0 changes nothing, whatever it sends", () => {
    fc.assert(
      fc.property(COHORTS[name], fc.constantFrom("a-idle", "client-1x", "z-idle"), (updates, clientId) => {
        const idle = {
          ...{ clientId, weight: 0 },
          adapter: adapterOf(randomModule({ outFeatures: 3, inFeatures: 2, rank: 7 }, 1)),
        }
        expect(bytesOf(runRound(strategy, { updates: [...updates, idle], settings }))).toEqual(
          bytesOf(runRound(strategy, { updates, settings })),
        )
      }),
      RUNS,
    )
  })

  test("updates are not kept by reference", () => {
    fc.assert(
      fc.property(COHORTS[name], (updates) => {
        const clients = updates.map(({ clientId, weight }) => ({ clientId, weight }))
        const ids = updates.map(({ clientId }) => clientId)
        const accumulator = strategy.accumulate({
          ...{ settings: { ...SETTINGS, ...settings }, global: undefined, state: undefined },
          clients,
        })
        for (const { adapter, ...rest } of updates) {
          const lent = decodeAdapter(encodeAdapter(adapter))
          accumulator.add({ ...rest, adapter: lent })
          for (const module of lent.modules) for (const values of [module.a, module.b]) values.fill(NaN)
        }
        expect(bytesOf(accumulator.finish())).toEqual(bytesOf(runRound(strategy, { updates, order: ids, settings })))
      }),
      RUNS,
    )
  })

  test("a client twice is refused", () => {
    const [update] = fc.sample(COHORTS[name], { seed: 1, numRuns: 1 })[0]!
    expect(() => runRound(strategy, { updates: [update!, update!] })).toThrow(
      expect.objectContaining({ code: "UPLOAD_CONFLICT" }),
    )
  })

  test("the reported error equals the directly computed one", () => {
    fc.assert(
      fc.property(COHORTS[name], (updates) => {
        const { global, errors } = runRound(strategy, { updates })
        expect(errors.map(({ module }) => module)).toEqual(global.modules.map((module) => module.name))
        for (const [i, module] of global.modules.entries()) {
          const target =
            name === "fedpipe" ? contributorsTarget(updates, module.name) : denseTarget(updates, module.name)
          const direct = denseError(denseOf(module), target)
          // flexlora's factors are rounded to f32 once more by the decomposition, fedex's where its rank passes
          // min(m, n): up to 4 · 2^-24 of dW* each; the others are sums in f64 on both sides
          const rounding = ["flexlora", "fedex"].includes(name) ? 1e-6 : 1e-12
          expect(Math.abs(errors[i]!.relativeError - direct)).toBeLessThan(rounding * Math.max(1, direct))
        }
      }),
      RUNS,
    )
  })
})

test.each(["flora", "flexlora", "ffa", "fedex", "fedpipe"] as const)("%s is exact to 1e-6", (name) => {
  fc.assert(
    fc.property(COHORTS[name], (updates) => {
      const { global, errors } = runRound(STRATEGIES[name], { updates })
      for (const [i, module] of global.modules.entries()) {
        const target = name === "fedpipe" ? contributorsTarget(updates, module.name) : denseTarget(updates, module.name)
        expect(denseError(denseOf(module), target)).toBeLessThan(1e-6)
        expect(errors[i]!.relativeError).toBeLessThan(1e-6)
      }
    }),
    RUNS,
  )
})

/** sum q_k s_k B_k A_k over the clients that have the module, q_k over them alone. */
function contributorsTarget(updates: readonly Update[], name: string): Float64Array {
  return denseTarget(
    updates.filter(({ adapter }) => adapter.modules.some((module) => module.name === name)),
    name,
  )
}
