import { addProduct, energy, floatsOf, gram, signProbes, zeros } from "@lamina/kernels/linalg"
import type { Matrix } from "@lamina/kernels/linalg"
import fc from "fast-check"

import { ExactSum } from "./exact-sum.js"
import { FactorStore } from "./factor-store.js"
import { newScratches } from "./module-factors.js"
import { RoundMemory } from "./round-memory.js"
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
      const module = sum.stack()!
      const relativeError = sum.roundingOf(module)
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
  expect(sum.takeStack(new RoundMemory(0))).toMatchObject({ relativeError: 0, module: { rank: 2 } })
  expect(sum.isEmpty).toBe(true)
})

test("modules of more rank than may wait are multiplied out at once, to the same bits as by way of a store", () => {
  const size = { outFeatures: 6, inFeatures: 5 } // 5 ranks may wait
  const modules = [600, 7, 1_100].map((rank, k) => randomModule({ ...size, rank, alpha: 3 * rank }, 40 + k))
  const scratches = newScratches()
  const sum = new ExactSum(modules[0]!, { clients: 3, scratches })
  const expected = zeros(6, 5)
  for (const module of modules) {
    sum.add(module, 1 / 7)
    const store = new FactorStore(module, module.rank)
    store.append(module, (1 / 7) * 3)
    for (const { b, a } of store.pieces(newScratches())) addProduct(expected, 1, [b, a])
  }
  expect(sum.stack()!.b).toEqual(floatsOf(expected))
})

/** A sum of 8 clients of rank 4, and what rounding does to B·A as a matrix (M,N). */
function roundedSum(seed: number): { sum: () => ExactSum; rounding: Matrix } {
  const size = { outFeatures: 48, inFeatures: 300 }
  const modules = Array.from({ length: 8 }, (_, k) => randomModule({ ...size, rank: 4, alpha: 3 }, 100 * seed + k))
  const sum = (): ExactSum => {
    const made = new ExactSum(modules[0]!, { clients: 8 })
    for (const [k, module] of modules.entries()) made.add(module, 1 / (k + 3))
    return made
  }
  const stacked = denseOf(sum().stack()!)
  const exact = new Float64Array(stacked.length)
  for (const [k, module] of modules.entries())
    for (const [i, value] of denseOf(module).entries()) exact[i]! += value / (k + 3)
  return { sum, rounding: { rows: 48, cols: 300, data: stacked.map((value, i) => value - exact[i]!) } }
}

test("sign probes estimate a stack's rounding, each time within their deviation and on average rightly", () => {
  const ratios = Array.from({ length: 24 }, (_, seed) => {
    const { sum, rounding } = roundedSum(seed)
    const { module, relativeError } = sum().takeStack(new RoundMemory(0))!
    const again = sum().takeStack(new RoundMemory(0))!
    expect(again.relativeError).toBe(relativeError)
    const exact = sum().roundingOf(module)
    // ||X||_F⁴ / ||XᵀX||_F² equal singular values; 4 probes: one standard deviation of the square is sqrt(2 / (4 e)),
    // of the size's as of the rounding's, so that the quotient has sqrt(2) of it; 5 of them
    const equal = energy(rounding) ** 2 / energy(gram(rounding))
    const deviation = Math.sqrt(2) * Math.sqrt(2 / (4 * equal))
    const ratio = (relativeError / exact) ** 2
    expect(Math.abs(ratio - 1)).toBeLessThan(5 * deviation)
    expect(ratio).not.toBe(1)
    return { ratio, deviation }
  })
  const mean = ratios.reduce((total, { ratio }) => total + ratio / ratios.length, 0)
  const deviation = Math.max(...ratios.map((each) => each.deviation))
  // the mean of 24 has a 4.9th of one's deviation; dividing by an estimate adds its variance, deviation² / 2
  expect(Math.abs(mean - 1)).toBeLessThan((4 * deviation) / Math.sqrt(24) + deviation ** 2 / 2)
})

test("where the values of B·A cancel in every probe, its norm is computed", () => {
  // columns on which all four probes agree: u - v - (u - v) = 0, whose roundings do not cancel
  const [inFeatures, signs] = [300, signProbes(300)]
  const alike = (j: number): boolean => [0, 1, 2, 3].every((p) => signs[p * 300 + j] === signs[p * 300])
  const [second, third] = Array.from({ length: 299 }, (_, j) => j + 1).filter(alike)
  const module = { ...randomModule({ outFeatures: 300, inFeatures, rank: 1 }, 1), a: new Float32Array(300) }
  const [u, v] = [2.5, 0.625]
  module.a.set([u], 0)
  module.a.set([-v], second)
  module.a.set([v - u], third)
  const sumOf = (): ExactSum => {
    const sum = new ExactSum(module, { clients: 1 })
    sum.add(module, 1 / 3)
    return sum
  }
  const stack = sumOf().takeStack(new RoundMemory(0))!
  const exact = sumOf().roundingOf(stack.module)
  // (e0 + e1 + e2)² <= 3 (e0² + e1² + e2²)
  expect(stack.relativeError).toBeGreaterThan(0)
  expect(stack.relativeError).toBeLessThan(1.74 * exact)
  expect(exact).toBeLessThan(6e-8)
})

function energyOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value * value, 0)
}
