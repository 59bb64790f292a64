import fc from "fast-check"

import { compress } from "./compress.js"
import { flora } from "./flora.js"
import { stackOnto } from "./stack-onto.js"
import { anyCohort, RUNS } from "./testing/arbitraries.js"
import { adapterOf, denseError, denseOf, denseTarget, randomModule } from "./testing/cohorts.js"
import { runRound } from "./testing/rounds.js"

test("rounds add up losslessly to the sum of their exact targets, and the rank never passes min(m, n)", () => {
  fc.assert(
    fc.property(anyCohort, (updates) => {
      let global = undefined
      for (let round = 0; round < 3; round++) {
        const stacked = stackOnto(global, runRound(flora, { updates }).global)
        global = compress(stacked, { tau: 0 }).adapter
      }
      for (const module of global!.modules) {
        const target = denseTarget(updates, module.name).map((value) => 3 * value)
        // three rounds of f32 rounding
        expect(denseError(denseOf(module), target)).toBeLessThan(3e-6)
        expect(module.rank).toBeLessThanOrEqual(Math.max(Math.min(module.outFeatures, module.inFeatures), 1))
      }
    }),
    RUNS,
  )
})

test("a scale other than 1 is folded into A, and modules only one side has are kept", () => {
  const scaled = randomModule({ name: "b", outFeatures: 3, inFeatures: 2, rank: 2, alpha: 8 }, 1)
  const global = randomModule({ name: "b", outFeatures: 3, inFeatures: 2, rank: 1 }, 2)
  const other = randomModule({ name: "a", outFeatures: 4, inFeatures: 4, rank: 1 }, 3)
  const [a, b] = stackOnto(adapterOf(global), adapterOf(other, scaled)).modules
  expect([a!.name, a!.rank, b!.name, b!.rank, b!.alpha]).toEqual(["a", 1, "b", 3, 3])
  // s = 8 / 2 = 4, a power of two: exact
  expect(Array.from(b!.a)).toEqual([...global.a, ...scaled.a.map((value) => 4 * value)])
  expect(Array.from(b!.b.subarray(0, 3))).toEqual([global.b[0], scaled.b[0], scaled.b[1]])
  expect(stackOnto(undefined, adapterOf(global)).modules[0]).toEqual(global)
})

test("shapes that differ are refused", () => {
  const left = adapterOf(randomModule({ outFeatures: 3, inFeatures: 2, rank: 2 }, 1))
  const right = adapterOf(randomModule({ outFeatures: 3, inFeatures: 4, rank: 2 }, 1))
  expect(() => stackOnto(left, right)).toThrow(expect.objectContaining({ code: "ADAPTER_MISMATCH" }))
})
