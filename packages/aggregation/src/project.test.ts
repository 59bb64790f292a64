import { encodeAdapter, scaleOf, STRATEGY_NAMES } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"
import fc from "fast-check"

import { gram, symmetricEigen } from "@lamina/kernels/linalg"
import { STRATEGIES } from "./strategies.js"
import type { ClientTerms } from "./strategy.js"
import { equalRankCohort, RUNS, unequalCohort } from "./testing/arbitraries.js"
import { adapterOf, denseError, denseOf, denseTarget, randomModule } from "./testing/cohorts.js"
import { runRound } from "./testing/rounds.js"

const terms = (rank: number): ClientTerms => ({
  ...{ clientId: "c", rankMax: rank, rank, initSeed: "own", freezeA: false },
})
const free = { bytesMax: 0 }
const bytesOf = (adapter: Adapter): number => encodeAdapter(adapter).byteLength

/** Singular values² of a dense (M,N), falling. */
function spectrum(data: Float64Array, cols: number): Float64Array {
  return symmetricEigen(gram({ rows: data.length / cols, cols, data })).values
}

/** Rows from..to of a module as a dense product at the module's scale. */
function part(module: AdapterModule, from: number, to: number): Float64Array {
  const a = module.a.map((value, i) => {
    const row = Math.floor(i / module.inFeatures)
    return row >= from && row < to ? value : 0
  })
  return denseOf({ ...module, a })
}

test.each(STRATEGY_NAMES)("%s: start and frozen rows together are the global adapter", (name) => {
  const global = adapterOf(
    randomModule({ name: "k", outFeatures: 9, inFeatures: 14, rank: 3, alpha: 6 }, 1),
    randomModule({ name: "q", outFeatures: 12, inFeatures: 8, rank: 5, alpha: 7, scaling: "rslora" }, 2),
  )
  const fresh = ["flora", "florist", "fedpipe"].includes(name)
  const { adapter, startRanks, relativeError } = STRATEGIES[name].project(global, terms(8), free)
  expect([...startRanks]).toEqual([
    ["k", fresh ? 0 : 3],
    ["q", fresh ? 0 : 5],
  ])
  expect([adapter, relativeError]).toEqual([global, 0])
  const low = STRATEGIES[name].project(global, terms(4), free)
  expect(low.startRanks.get("q")).toBe(fresh ? 0 : 4)
  const q = low.adapter.modules[1]!
  const [whole] = global.modules.slice(1)
  expect(scaleOf(q)).toBeCloseTo(scaleOf(whole!), 12)
  // a product of the start at the scale that travels with it
  expect(denseError(part(q, 0, 4), part(whole!, 0, 4))).toBeLessThan(1e-12)
  if (fresh || name === "fedex") expect([low.adapter, low.relativeError]).toEqual([global, 0])
  else {
    expect([low.adapter.modules[0], q.rank]).toEqual([global.modules[0], 4])
    const norm = (values: Float64Array): number => values.reduce((sum, value) => sum + value * value, 0)
    const [cut, all] = [norm(part(whole!, 4, 5)), norm(denseOf(whole!)) + norm(denseOf(global.modules[0]!))]
    expect(low.relativeError).toBeCloseTo(Math.sqrt(cut / all), 10)
  }
})

test("flexlora's prefix is the best approximation of every rank", () => {
  fc.assert(
    fc.property(unequalCohort, (updates) => {
      const { global } = runRound(STRATEGIES.flexlora, { updates })
      for (const module of global.modules) {
        const target = denseTarget(updates, module.name)
        const values = spectrum(target, module.inFeatures)
        const total = values.reduce((sum, value) => sum + value, 0)
        for (let rank = 1; rank <= module.rank; rank++) {
          const { adapter } = STRATEGIES.flexlora.project(adapterOf(module), terms(rank), free)
          const best = values.slice(rank).reduce((sum, value) => sum + Math.max(value, 0), 0)
          const error = denseError(denseOf(adapter.modules[0]!), target)
          // f32 factors on one side; eigenvalues of the Gram matrix are exact to 1e-14 of the largest: 1e-7 in the root
          expect(Math.abs(error - Math.sqrt(best / total))).toBeLessThan(2e-6)
        }
      }
    }),
    { ...RUNS, numRuns: 30 },
  )
})

test("a frozen adapter is cut to any budget, by no more than it must, and says what that cost", () => {
  fc.assert(
    fc.property(unequalCohort, fc.double({ min: 0.05, max: 1.1, noNaN: true }), (updates, share) => {
      const { global } = runRound(STRATEGIES.flora, { updates })
      const bytesMax = Math.ceil(share * bytesOf(global))
      const { adapter, relativeError } = STRATEGIES.flora.project(global, terms(1), { bytesMax })
      const rows = adapter.modules.reduce((sum, { rank }) => sum + rank, 0)
      if (rows > 1) expect(bytesOf(adapter)).toBeLessThanOrEqual(bytesMax)
      const projected = new Map(adapter.modules.map((module) => [module.name, denseOf(module)]))
      let [size, distance] = [0, 0]
      for (const module of global.modules)
        for (const [i, value] of denseOf(module).entries()) {
          size += value ** 2
          distance += (value - (projected.get(module.name)?.[i] ?? 0)) ** 2
        }
      expect(Math.abs(relativeError - Math.sqrt(distance / size))).toBeLessThan(2e-6)
      if (bytesMax >= bytesOf(global)) expect([adapter, relativeError]).toEqual([global, 0])
    }),
    RUNS,
  )
})

test("the budget goes to the singular values with most energy per byte, over all modules", () => {
  const unit = (name: string, features: number, values: number[]): AdapterModule => {
    const rank = values.length
    const diagonal = (scale: (k: number) => number, transposed: boolean): Float32Array =>
      Float32Array.from({ length: rank * features }, (_, i) => {
        const [row, column] = transposed ? [i % rank, Math.floor(i / rank)] : [Math.floor(i / features), i % features]
        return row === column ? scale(row) : 0
      })
    return {
      ...{ name, outFeatures: features, inFeatures: features, rank, alpha: rank, scaling: "lora" },
      ...{ a: diagonal(() => 1, false), b: diagonal((k) => values[k]!, true) },
    }
  }
  // a row of q takes 4 times the bytes of one of k, so a value v of q stands where v / 2 of k does: 2, 3 and 10
  const global = adapterOf(unit("k", 64, [1, 5, 2.5]), unit("q", 256, [4, 6, 20]))
  const kept = (bytesMax: number): Record<string, number> => {
    const { adapter } = STRATEGIES.flora.project(global, terms(1), { bytesMax })
    return Object.fromEntries(adapter.modules.map(({ name, rank }) => [name, rank]))
  }
  const whole = bytesOf(global)
  // one row of k is 512 bytes, one of q 2,048; order of going: k 1, q 4, k 2.5, q 6, k 5, q 20
  expect(kept(whole)).toEqual({ k: 3, q: 3 })
  expect(kept(whole - 1)).toEqual({ k: 2, q: 3 })
  expect(kept(whole - 513)).toEqual({ k: 2, q: 2 })
  expect(kept(whole - 512 - 2049)).toEqual({ k: 1, q: 2 })
  expect(kept(whole - 1024 - 2049)).toEqual({ k: 1, q: 1 })
  expect(kept(whole - 1024 - 4097)).toEqual({ q: 1 })
  // below any adapter's size the best row stays
  expect(kept(1)).toEqual({ q: 1 })
})

test("a budget below what a client trains on is unsuitable, with both numbers", () => {
  const global = adapterOf(randomModule({ outFeatures: 64, inFeatures: 64, rank: 6 }, 1))
  for (const name of ["fedit", "zeropad", "hetlora", "ffa", "flexlora", "fedex"] as const) {
    const strategy = STRATEGIES[name]
    const two = adapterOf(randomModule({ outFeatures: 64, inFeatures: 64, rank: 2 }, 1))
    const needed = bytesOf(two)
    expect(() => strategy.project(global, terms(2), { bytesMax: needed - 1 })).toThrow(
      expect.objectContaining({
        ...{ code: "STRATEGY_UNSUITABLE", message: expect.stringMatching(`least ${needed} bytes.*got ${needed - 1}`) },
      }),
    )
    expect(strategy.project(global, terms(2), { bytesMax: needed }).adapter.modules[0]!.rank).toBe(2)
  }
})

test("fedex keeps what is trained to the bit and cuts the frozen rows to the budget", () => {
  fc.assert(
    fc.property(equalRankCohort, fc.double({ min: 0, max: 1, noNaN: true }), (updates, share) => {
      const { global } = runRound(STRATEGIES.fedex, { updates })
      const [module] = global.modules
      const rank = Math.min(updates[0]!.adapter.modules[0]!.rank, module!.rank)
      const start = STRATEGIES.fedit.project(global, terms(rank), free).adapter
      const bytesMax = bytesOf(start) + Math.floor(share * (bytesOf(global) - bytesOf(start)))
      const { adapter, startRanks, relativeError } = STRATEGIES.fedex.project(global, terms(rank), { bytesMax })
      const got = adapter.modules[0]!
      expect(bytesOf(adapter)).toBeLessThanOrEqual(bytesMax)
      expect(startRanks.get("q_proj")).toBe(rank)
      expect(got.a.slice(0, rank * got.inFeatures)).toEqual(module!.a.slice(0, rank * got.inFeatures))
      expect(Math.abs(relativeError - denseError(denseOf(got), denseOf(module!)))).toBeLessThan(5e-6)
    }),
    RUNS,
  )
})

test("plans: what each client affords, the lowest where ranks must be equal, from which start", () => {
  const cohort = [8, 2, 4].map((rankMax, k) => ({ clientId: `c${k}`, rankMax }))
  const seeds = { flora: "own", florist: "own", fedpipe: "own", flexlora: "own" } as Record<string, string>
  for (const name of STRATEGY_NAMES) {
    const equal = name === "fedit" || name === "fedex"
    expect(STRATEGIES[name].name).toBe(name)
    expect(STRATEGIES[name].prepare(cohort)).toEqual(
      cohort.map((client) => ({
        ...client,
        rank: equal ? 2 : client.rankMax,
        initSeed: seeds[name] ?? "shared",
        freezeA: name === "ffa",
      })),
    )
  }
})
