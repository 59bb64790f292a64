import type { Update } from "@lamina/protocol"
import fc from "fast-check"

import { fedit } from "./fedit.js"
import { flora } from "./flora.js"
import { equalRankCohort, RUNS } from "./testing/arbitraries.js"
import { adapterOf, denseError, denseOf, denseTarget, randomModule, seededValues } from "./testing/cohorts.js"
import { runRound } from "./testing/rounds.js"

function codeOf(work: () => unknown): { code: unknown; message: string; hint: unknown } {
  try {
    work()
  } catch (error) {
    return error as { code: unknown; message: string; hint: unknown }
  }
  throw new Error("expected a failure")
}

test("the reported error equals the directly computed one", () => {
  fc.assert(
    fc.property(equalRankCohort, (updates) => {
      const { global, errors } = runRound(fedit, { updates })
      const direct = denseError(denseOf(global.modules[0]!), denseTarget(updates, "q_proj"))
      // both in f64, sums of up to 65 · 9 terms: 585 · 2^-53 = 6e-14 of dW*
      expect(Math.abs(errors[0]!.relativeError - direct)).toBeLessThan(1e-12 * Math.max(1, direct))
    }),
    RUNS,
  )
})

test("the reported error keeps its digits when it is tiny", () => {
  // clients that differ by 1e-3 of their values: the error is of second order, about 1e-6
  const base = randomModule({ outFeatures: 40, inFeatures: 30, rank: 4, alpha: 8 }, 1)
  const noise = seededValues(2)
  const nudge = (values: Float32Array): Float32Array =>
    noise(values.length).map((shift, i) => values[i]! * (1 + 1e-3 * shift))
  const updates = ["a", "b", "c"].map((clientId, k) => ({
    ...{ clientId, weight: k + 1 },
    adapter: adapterOf({ ...base, a: nudge(base.a), b: nudge(base.b) }),
  }))
  const { global, errors } = runRound(fedit, { updates })
  const direct = denseError(denseOf(global.modules[0]!), denseTarget(updates, "q_proj"))
  expect(direct).toBeGreaterThan(1e-8)
  expect(direct).toBeLessThan(1e-6)
  // 1e-14 of dW* at 1e-7 is seven digits
  expect(Math.abs(errors[0]!.relativeError / direct - 1)).toBeLessThan(1e-6)
})

test("on equal factors fedit equals flora", () => {
  fc.assert(
    fc.property(equalRankCohort, (updates) => {
      const same = updates.map((update) => ({ ...update, adapter: updates[0]!.adapter }))
      const averaged = runRound(fedit, { updates: same })
      const stacked = runRound(flora, { updates: same }).global.modules[0]!
      // each factor is rounded to f32 once on either side: 3 · 2^-24 = 2e-7, 5 for terms that cancel in dW
      expect(denseError(denseOf(averaged.global.modules[0]!), denseOf(stacked))).toBeLessThan(1e-6)
      expect(averaged.errors[0]!.relativeError).toBeLessThan(1e-6)
    }),
    RUNS,
  )
})

test("A and B are weighted means over all clients, and rank, alpha and scaling stay", () => {
  const update = (clientId: string, weight: number, a: number, b: number): Update => ({
    ...{ clientId, weight },
    adapter: adapterOf({
      ...{ name: "q", outFeatures: 1, inFeatures: 1, rank: 1, alpha: 2, scaling: "rslora" },
      ...{ a: Float32Array.of(a), b: Float32Array.of(b) },
    }),
  })
  // p = 1/2, 1/4, 1/4: A = (2·1 + 5 + 9)/4 = 4, B = (2·2 + 8 + 4)/4 = 4
  const { global, errors } = runRound(fedit, {
    updates: [update("a", 2, 1, 2), update("b", 1, 5, 8), update("c", 1, 9, 4)],
  })
  expect(global.modules[0]).toMatchObject({
    rank: 1,
    alpha: 2,
    scaling: "rslora",
    a: Float32Array.of(4),
    b: Float32Array.of(4),
  })
  // dW* = 2·(1·2/2 + 40/4 + 36/4) = 40, dW = 2·16 = 32: (40 - 32) / 40
  expect(errors[0]!.relativeError).toBeCloseTo(0.2, 14)
})

test("every client counts: changing any one changes the result", () => {
  fc.assert(
    fc.property(equalRankCohort, fc.nat(), (updates, which) => {
      const k = which % updates.length
      const changed = updates.map((update, i) => {
        const module = update.adapter.modules[0]!
        return i === k
          ? { ...update, weight: 1_000_000, adapter: adapterOf({ ...module, a: module.a.map((x) => x + 1) }) }
          : update
      })
      const heavy = updates.map((update, i) => (i === k ? { ...update, weight: 1_000_000 } : update))
      expect(runRound(fedit, { updates: changed }).global).not.toEqual(runRound(fedit, { updates: heavy }).global)
    }),
    RUNS,
  )
})

test("a client of weight 0 changes nothing, wherever it comes from", () => {
  const shuffled = equalRankCohort.chain((updates) =>
    fc.tuple(fc.constant(updates), fc.shuffledSubarray(updates, { minLength: updates.length })),
  )
  fc.assert(
    fc.property(shuffled, ([updates, arrival]) => {
      const idle = {
        clientId: "a-idle",
        weight: 0,
        adapter: adapterOf(randomModule({ outFeatures: 3, inFeatures: 2, rank: 7 }, 1)),
      }
      expect(runRound(fedit, { updates: [...arrival, idle] })).toEqual(runRound(fedit, { updates }))
    }),
    RUNS,
  )
})

test("unequal ranks, alphas, scaling rules and missing modules are unsuitable, and flora is named", () => {
  const size = { outFeatures: 3, inFeatures: 2, rank: 2, alpha: 4 }
  const first = adapterOf(randomModule(size, 1))
  const refused = (second: object): { code: unknown; message: string; hint: unknown } =>
    codeOf(() =>
      runRound(fedit, {
        updates: [
          { clientId: "a", weight: 1, adapter: first },
          { clientId: "b", weight: 1, adapter: adapterOf(randomModule({ ...size, ...second }, 2)) },
        ],
      }),
    )
  for (const second of [{ rank: 3 }, { alpha: 5 }, { scaling: "rslora" }, { name: "v_proj" }])
    expect(refused(second)).toMatchObject({ code: "STRATEGY_UNSUITABLE", hint: expect.stringContaining("flora") })
  expect(refused({ rank: 3 }).message).toBe(
    "fedit: module q_proj: expected rank 2, alpha 4, scaling lora from every client, " +
      "got rank 3, alpha 4, scaling lora from b",
  )
})
