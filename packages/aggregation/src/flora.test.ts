import type { ScalingRule, Update } from "@lamina/protocol"
import fc from "fast-check"

import { flora } from "./flora.js"
import { anyCohort, RUNS } from "./testing/arbitraries.js"
import { adapterOf, denseError, denseOf, denseTarget, randomModule } from "./testing/cohorts.js"
import { runRound } from "./testing/rounds.js"

test("the stack equals dW* to 1e-6 for any shapes, ranks, alphas, scaling, weights and cohorts of 1 to 64", () => {
  fc.assert(
    fc.property(anyCohort, (updates) => {
      const { global, errors } = runRound(flora, { updates })
      for (const [i, module] of global.modules.entries()) {
        const direct = denseError(denseOf(module), denseTarget(updates, module.name))
        expect(direct).toBeLessThan(1e-6)
        expect(errors[i]!.module).toBe(module.name)
        // both measure the rounding of A; the dense sums of up to 576 terms carry 576 · 2^-53 = 6e-14 of their own
        expect(Math.abs(errors[i]!.relativeError - direct)).toBeLessThan(1e-12)
      }
    }),
    RUNS,
  )
})

test("ranks add up and the scale is 1", () => {
  const updates = [2, 5, 3].map((rank, k) => ({
    clientId: `c${k}`,
    weight: 1,
    adapter: adapterOf(randomModule({ outFeatures: 40, inFeatures: 60, rank, alpha: 16 }, k)),
  }))
  const [module] = runRound(flora, { updates }).global.modules
  expect(module).toMatchObject({ rank: 10, alpha: 10, scaling: "lora", outFeatures: 40, inFeatures: 60 })
  expect([module!.a.length, module!.b.length]).toEqual([600, 400])
})

interface Described {
  readonly rank: number
  readonly alpha?: number
  readonly scaling?: ScalingRule
  readonly a: readonly number[]
  readonly b: readonly number[]
}

test("rows of A carry p_k s_k, columns of B are copied", () => {
  // p = 1/4 and 3/4; s = 8/2 = 4 and (rslora) 6/sqrt(4) = 3. 6 x 6, so that six rows stay factors; values sit in the
  // first column of A and the first row of B, the rest is zero.
  const update = (clientId: string, weight: number, module: Described): Update => ({
    ...{ clientId, weight },
    adapter: adapterOf({
      ...{ name: "q", outFeatures: 6, inFeatures: 6, scaling: "lora", alpha: 8, ...module },
      a: Float32Array.from(module.a.flatMap((value) => [value, 0, 0, 0, 0, 0])),
      b: Float32Array.from({ length: 6 * module.rank }, (_, i) => module.b[i] ?? 0),
    }),
  })
  const first = update("a", 1, { rank: 2, a: [1, 2], b: [3, 4] })
  const second = update("b", 3, {
    ...{ rank: 4, alpha: 6, scaling: "rslora" },
    ...{ a: [5, 6, 7, 8], b: [9, 10, 11, 12] },
  })
  const firstColumn = (values: Float32Array): number[] => Array.from(values).filter((_, i) => i % 6 === 0)
  const [module] = runRound(flora, { updates: [second, first] }).global.modules
  expect(firstColumn(module!.a)).toEqual([1, 2, 5 * 2.25, 6 * 2.25, 7 * 2.25, 8 * 2.25])
  expect(Array.from(module!.b.subarray(0, 6))).toEqual([3, 4, 9, 10, 11, 12])
  const [reversed] = runRound(flora, { updates: [second, first], order: ["b", "a"] }).global.modules
  expect(Array.from(reversed!.b.subarray(0, 6))).toEqual([9, 10, 11, 12, 3, 4])
})

test("a client of weight 0 changes nothing, whatever it sends", () => {
  fc.assert(
    fc.property(anyCohort, fc.nat(), (updates, position) => {
      const idle = {
        clientId: "idle",
        weight: 0,
        adapter: adapterOf(randomModule({ outFeatures: 3, inFeatures: 2, rank: 7 }, 1)),
      }
      const at = position % (updates.length + 1)
      const all = [...updates.slice(0, at), idle, ...updates.slice(at)]
      expect(runRound(flora, { updates: all })).toEqual(runRound(flora, { updates }))
    }),
    RUNS,
  )
})

test("updates that are all zero have no error", () => {
  const module = randomModule({ outFeatures: 3, inFeatures: 2, rank: 2 }, 1)
  const updates = [{ clientId: "a", weight: 1, adapter: adapterOf({ ...module, b: new Float32Array(6) }) }]
  expect(runRound(flora, { updates }).errors).toEqual([{ module: "q_proj", relativeError: 0 }])
})

test("finite factors whose product with their scale is not are refused, not aggregated", () => {
  const module = randomModule({ outFeatures: 3, inFeatures: 2, rank: 2 }, 1)
  const huge = { ...module, alpha: 4, a: new Float32Array(4).fill(3e38) }
  const updates = [{ clientId: "a", weight: 1, adapter: adapterOf(huge) }]
  expect(() => runRound(flora, { updates })).toThrow(expect.objectContaining({ code: "UPDATE_NOT_FINITE" }))
})
