import type { ScalingRule, Update } from "@lamina/protocol"
import fc from "fast-check"

import { fedex } from "./fedex.js"
import { ffa } from "./ffa.js"
import { hetlora } from "./hetlora.js"
import { sharedACohort, equalRankCohort, RUNS } from "./testing/arbitraries.js"
import { adapterOf, denseError, denseOf, denseTarget, randomModule } from "./testing/cohorts.js"
import { runRound } from "./testing/rounds.js"
import { zeropad } from "./zeropad.js"

interface Rows {
  readonly a: readonly number[]
  readonly b: readonly number[]
  readonly alpha?: number
  readonly scaling?: ScalingRule
}

/** A client whose one module is 1 x 1 with these rows. */
function rows(clientId: string, weight: number, module: Rows): Update {
  const rank = module.a.length
  return {
    ...{ clientId, weight },
    adapter: adapterOf({
      ...{ name: "q", outFeatures: 1, inFeatures: 1, rank, alpha: 2 * rank, scaling: "lora", ...module },
      ...{ a: Float32Array.from(module.a), b: Float32Array.from(module.b) },
    }),
  }
}

test("zeropad pads to the largest rank and brings every client to its scale", () => {
  const updates = [
    rows("a", 1, { a: [8], b: [4], alpha: 2, scaling: "rslora" }),
    rows("b", 3, { a: [4, 12, 8, 4], b: [8, 4, 4, 12], alpha: 8, scaling: "rslora" }),
  ]
  const { global, errors } = runRound(zeropad, { updates, settings: { scaling: "rslora", alphaPerRank: 2 } })
  // scales 2/1 = 2 and 8/2 = 4 = s; A = (a + 3b)/4, B = (a·2/4 + 3b)/4
  expect(global.modules[0]).toMatchObject({ rank: 4, alpha: 8, scaling: "rslora" })
  expect(Array.from(global.modules[0]!.a)).toEqual([5, 9, 6, 3])
  expect(Array.from(global.modules[0]!.b)).toEqual([6.5, 3, 3, 9])
  // dW* = (1/4)·2·32 + (3/4)·4·160 = 496, dW = 4·(32.5 + 27 + 18 + 27) = 418
  expect(errors[0]!.relativeError).toBeCloseTo(78 / 496, 12)
})

test("hetlora weighs clients by the norm of what they learnt, whatever their data", () => {
  const updates = [
    rows("a", 1, { a: [4], b: [3], alpha: 1 }),
    rows("b", 100, { a: [2, 0], b: [2, 5], alpha: 2 }),
    rows("idle", 0, { a: [1e6], b: [1e6] }),
  ]
  const { global } = runRound(hetlora, { updates, settings: { alphaPerRank: 1 } })
  // norms 12 and 4: weights 3/4 and 1/4; A = [3 + 1/2, 0], B = [9/4 + 1/2, 5/4]
  expect(Array.from(global.modules[0]!.a)).toEqual([3.5, 0])
  expect(Array.from(global.modules[0]!.b)).toEqual([2.75, 1.25])
})

test("hetlora averages by p_k where nobody learnt anything", () => {
  const updates = [rows("a", 1, { a: [4], b: [0] }), rows("b", 3, { a: [8], b: [0] })]
  const [module] = runRound(hetlora, { updates }).global.modules
  expect([module!.a[0], module!.b[0]]).toEqual([7, 0])
})

test("hetlora prunes a tail that carries less than 1 - g of the norm, and plans so from then on", () => {
  // g = 1/2: of [a | tail] with products p and t the tail's share is t / (p + t) in one dimension; pruned below 1/2
  const updates = [
    rows("even", 1, { a: [1, 1, 1, 1], b: [1, 1, 1, 1] }),
    rows("light", 1, { a: [1, 1, 1, 1], b: [1, 1, 0.5, 0.5] }),
    rows("short", 1, { a: [1], b: [1] }),
    rows("odd", 1, { a: [1, 1, 1], b: [1, 1, 0.25] }),
  ]
  const { prunedRanks } = runRound(hetlora, { updates, settings: { pruneTo: 0.5 } })
  expect([...prunedRanks]).toEqual([
    ["light", 2],
    ["odd", 2],
  ])
  const cohort = updates.map(({ clientId }) => ({ clientId, rankMax: 4 }))
  expect(hetlora.prepare(cohort, prunedRanks).map(({ rank }) => rank)).toEqual([4, 2, 4, 2])
  expect(runRound(hetlora, { updates, settings: { pruneTo: 1 } }).prunedRanks.size).toBe(0)
})

test("ffa averages B exactly over one A, of which smaller ranks hold the first rows", () => {
  fc.assert(
    fc.property(sharedACohort, (updates) => {
      const { global, errors } = runRound(ffa, { updates })
      for (const [i, module] of global.modules.entries()) {
        const longest = updates
          .flatMap(({ adapter }) => adapter.modules.filter(({ name }) => name === module.name))
          .reduce((left, right) => (right.rank > left.rank ? right : left))
        expect(module.a).toEqual(longest.a)
        // one rounding of B to f32, ten times where terms cancel
        expect(denseError(denseOf(module), denseTarget(updates, module.name))).toBeLessThan(6e-7)
        expect(errors[i]!.relativeError).toBeLessThan(6e-7)
      }
    }),
    RUNS,
  )
})

test("ffa refuses an A of a client's own, also against the global adapter's", () => {
  const [first, same] = [rows("a", 1, { a: [1, 2], b: [3, 4] }), rows("b", 1, { a: [1], b: [5] })]
  const other = rows("c", 1, { a: [1, 3, 4], b: [1, 1, 1] })
  const unsuitable = expect.objectContaining({
    ...{ code: "STRATEGY_UNSUITABLE", message: expect.stringContaining("got others from c") },
  })
  expect(() => runRound(ffa, { updates: [first, other] })).toThrow(unsuitable)
  const { global } = runRound(ffa, { updates: [first, same] })
  expect(() => runRound(ffa, { updates: [other], global })).toThrow(unsuitable)
  expect(runRound(ffa, { updates: [same], global }).global.modules[0]!.rank).toBe(1)
})

test("fedex adds to what was frozen exactly dW* of the round, over rounds and changing ranks", () => {
  const ranks = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 4 })
  fc.assert(
    fc.property(ranks, fc.integer({ min: 1, max: 5 }), fc.nat(), (rounds, count, seed) => {
      let global = undefined
      for (const [round, rank] of rounds.entries()) {
        const size = { outFeatures: 14, inFeatures: 11, rank, alpha: 2 * rank }
        const updates = Array.from({ length: count }, (_, k) => ({
          ...{ clientId: `c${k}`, weight: k + 1 },
          adapter: adapterOf(randomModule(size, seed + 10 * round + k)),
        }))
        const frozen: Float64Array | undefined = global && frozenOf(global, rank)
        const result = runRound(fedex, { updates, global })
        const expected = denseTarget(updates, "q_proj").map((value, i) => value + (frozen?.[i] ?? 0))
        expect(denseError(denseOf(result.global.modules[0]!), expected)).toBeLessThan(2e-6)
        expect(result.errors[0]!.relativeError).toBeLessThan(1e-6)
        const average = result.global.modules[0]!.a.slice(0, rank * 11)
        const [update] = updates
        if (count === 1 && rank < 11) expect(average).toEqual(update!.adapter.modules[0]!.a)
        global = result.global
      }
    }),
    RUNS,
  )
  /** What a client of this rank keeps frozen of a global adapter. */
  function frozenOf(global: Update["adapter"], rank: number): Float64Array {
    const { adapter, startRanks } = fedex.project(
      global,
      { clientId: "c0", rankMax: rank, rank, initSeed: "shared", freezeA: false },
      { bytesMax: 0 },
    )
    const module = adapter.modules[0]!
    const start = startRanks.get(module.name)!
    const a = module.a.slice()
    a.fill(0, 0, start * module.inFeatures)
    return denseOf({ ...module, a })
  }
})

test("fedex compresses the frozen rows alone, and says what that cut of the whole", () => {
  const updates = [1, 2, 3].map((seed) => ({
    ...{ clientId: `c${seed}`, weight: seed },
    adapter: adapterOf(randomModule({ outFeatures: 30, inFeatures: 20, rank: 3, alpha: 6 }, seed)),
  }))
  const whole = runRound(fedex, { updates }).global.modules[0]!
  const result = runRound(fedex, { updates, settings: { compress: { tau: 0, maxRank: 5 } } })
  const module = result.global.modules[0]!
  expect([result.stackedRank, result.rank]).toEqual([15, 5])
  expect(module.a.slice(0, 60)).toEqual(whole.a.slice(0, 60))
  const direct = denseError(denseOf(module), denseOf(whole))
  expect(direct).toBeGreaterThan(0.05)
  expect(result.compressionErrors[0]!.relativeError).toBeCloseTo(direct, 6)
})

test("equal factors leave fedex no residual", () => {
  fc.assert(
    fc.property(equalRankCohort, (updates) => {
      const same = updates.map((update) => ({ ...update, adapter: updates[0]!.adapter }))
      const { global } = runRound(fedex, { updates: same })
      const [module, first] = [global.modules[0]!, updates[0]!.adapter.modules[0]!]
      expect(module.rank).toBe(first.rank)
      expect(denseError(denseOf(module), denseOf(first))).toBeLessThan(1e-6)
    }),
    RUNS,
  )
})
