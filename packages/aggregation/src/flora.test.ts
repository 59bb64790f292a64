import type { Update } from "@lamina/protocol"
import fc from "fast-check"

import { flora } from "./flora.js"
import { anyCohort, RUNS } from "./testing/arbitraries.js"
import { adapterOf, denseError, denseOf, denseTarget, randomModule } from "./testing/cohorts.js"

test("the stack equals dW* to 1e-6 for any shapes, ranks, alphas, scaling, weights and cohorts of 1 to 64", () => {
  fc.assert(
    fc.property(anyCohort, (updates) => {
      const { adapter, errors } = flora.aggregate({ updates })
      for (const [i, module] of adapter.modules.entries()) {
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
    adapter: adapterOf(randomModule({ outFeatures: 4, inFeatures: 6, rank, alpha: 16 }, k)),
  }))
  const [module] = flora.aggregate({ updates }).adapter.modules
  expect(module).toMatchObject({ rank: 10, alpha: 10, scaling: "lora", outFeatures: 4, inFeatures: 6 })
  expect([module!.a.length, module!.b.length]).toEqual([60, 40])
})

test("rows of A carry p_k s_k, columns of B are copied", () => {
  // p = 1/4 and 3/4; s = 8/2 = 4 and (rslora) 6/sqrt(4) = 3
  const update = (clientId: string, weight: number, module: object): Update => ({
    ...{ clientId, weight },
    adapter: adapterOf({
      name: "q",
      outFeatures: 1,
      inFeatures: 1,
      scaling: "lora",
      rank: 2,
      alpha: 8,
      ...module,
    } as never),
  })
  const first = update("a", 1, { a: Float32Array.of(1, 2), b: Float32Array.of(3, 4) })
  const second = update("b", 3, {
    ...{ rank: 4, alpha: 6, scaling: "rslora" },
    ...{ a: Float32Array.of(5, 6, 7, 8), b: Float32Array.of(9, 10, 11, 12) },
  })
  const [module] = flora.aggregate({ updates: [second, first] }).adapter.modules
  expect(Array.from(module!.a)).toEqual([1, 2, 5 * 2.25, 6 * 2.25, 7 * 2.25, 8 * 2.25])
  expect(Array.from(module!.b)).toEqual([3, 4, 9, 10, 11, 12])
  const [reversed] = flora.aggregate({ updates: [second, first], order: ["b", "a"] }).adapter.modules
  expect(Array.from(reversed!.b)).toEqual([9, 10, 11, 12, 3, 4])
})

test("the order of arrival changes no byte", () => {
  const shuffled = anyCohort.chain((updates) =>
    fc.tuple(fc.constant(updates), fc.shuffledSubarray(updates, { minLength: updates.length })),
  )
  fc.assert(
    fc.property(shuffled, ([updates, arrival]) => {
      expect(flora.aggregate({ updates: arrival })).toEqual(flora.aggregate({ updates }))
    }),
    RUNS,
  )
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
      expect(flora.aggregate({ updates: all })).toEqual(flora.aggregate({ updates }))
    }),
    RUNS,
  )
})

test("updates that are all zero have no error", () => {
  const module = randomModule({ outFeatures: 3, inFeatures: 2, rank: 2 }, 1)
  const updates = [{ clientId: "a", weight: 1, adapter: adapterOf({ ...module, b: new Float32Array(6) }) }]
  expect(flora.aggregate({ updates }).errors).toEqual([{ module: "q_proj", relativeError: 0 }])
})
