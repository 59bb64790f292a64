import fc from "fast-check"

import { ExactSum } from "./exact-sum.js"
import { RUNS } from "./testing/arbitraries.js"
import { denseError, denseOf, randomModule } from "./testing/cohorts.js"

const cohort = fc.record({
  m: fc.integer({ min: 1, max: 20 }),
  n: fc.integer({ min: 1, max: 20 }),
  ranks: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 30 }),
  seed: fc.nat(),
})

test("the sum is the same as factors, and dense once ranks pass min(m, n), whose rank it then has", () => {
  fc.assert(
    fc.property(cohort, ({ m, n, ranks, seed }) => {
      const size = { outFeatures: m, inFeatures: n }
      const modules = ranks.map((rank, k) => randomModule({ ...size, rank, alpha: 3 }, seed + k))
      const sum = new ExactSum(modules[0]!, { clients: modules.length })
      const dense = new Float64Array(m * n)
      for (const [k, module] of modules.entries()) {
        sum.add(module, 1 / (k + 1))
        for (const [i, value] of denseOf(module).entries()) dense[i]! += value / (k + 1)
      }
      sum.divide(2)
      const { module, relativeError } = sum.stack()!
      const half = dense.map((value) => value / 2)
      const total = ranks.reduce((all, rank) => all + rank, 0)
      expect(module.rank).toBe(Math.min(total, m, n))
      const direct = denseError(denseOf(module), half)
      // one rounding to f32, 2^-24 = 6e-8, ten times that where terms cancel
      expect(direct).toBeLessThan(6e-7)
      // the sums on both sides carry up to 270 · 2^-53 = 3e-14 of terms that may cancel
      expect(Math.abs(relativeError - direct)).toBeLessThan(1e-12)
      const other = randomModule({ ...size, rank: 2 }, seed - 1)
      const expected = denseError(denseOf(other), half)
      expect(Math.abs(sum.errorOf(other) / expected - 1)).toBeLessThan(1e-10)
      const difference = denseOf(other).map((value, i) => half[i]! - value)
      const scale = Math.sqrt(energyOf(half) / energyOf(difference))
      expect(denseError(denseOf(sum.residual(other)), difference)).toBeLessThan(1e-6 * Math.max(1, scale))
    }),
    RUNS,
  )
})

test("what is zero in A and B adds no rank; zero B alone does", () => {
  const module = randomModule({ outFeatures: 8, inFeatures: 9, rank: 2 }, 1)
  const sum = new ExactSum(module, { clients: 1 })
  sum.add({ ...module, a: new Float32Array(18), b: new Float32Array(16) }, 1)
  expect([sum.isEmpty, sum.stack()]).toEqual([true, undefined])
  expect(sum.errorOf(module)).toBe(Infinity)
  sum.add({ ...module, b: new Float32Array(16) }, 1)
  expect(sum.stack()).toMatchObject({ relativeError: 0, module: { rank: 2 } })
})

function energyOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value * value, 0)
}
