import type { Update } from "@lamina/protocol"
import fc from "fast-check"

import { compress } from "./compress.js"
import { fedpipe } from "./fedpipe.js"
import { flora } from "./flora.js"
import { florist } from "./florist.js"
import { anyCohort, RUNS } from "./testing/arbitraries.js"
import { adapterOf, denseError, denseOf, denseTarget, randomModule } from "./testing/cohorts.js"
import { runRound } from "./testing/rounds.js"

test("florist's error stays within tau, and one row less would pass it", () => {
  fc.assert(
    fc.property(anyCohort, fc.double({ min: 0.01, max: 0.9, noNaN: true }), (updates, tau) => {
      const { global, errors } = runRound(florist, { updates, settings: { tau } })
      for (const [i, module] of global.modules.entries()) {
        const target = denseTarget(updates, module.name)
        const error = denseError(denseOf(module), target)
        // rounding to f32 comes on top, at most 1e-6 of dW*
        expect(error).toBeLessThan(tau + 1e-6)
        expect(errors[i]!.relativeError).toBeCloseTo(error, 10)
        if (module.rank === 1) continue
        const less = compress(adapterOf(module), { tau: 0, maxRank: module.rank - 1 }).adapter.modules[0]!
        expect(denseError(denseOf(less), target)).toBeGreaterThan(tau - 1e-6)
      }
    }),
    RUNS,
  )
})

test("florist cuts the round's stack, not what the global adapter already holds", () => {
  const updates = [1, 2, 3].map((seed) => ({
    ...{ clientId: `c${seed}`, weight: seed },
    adapter: adapterOf(randomModule({ outFeatures: 30, inFeatures: 20, rank: 4 }, seed)),
  }))
  const global = adapterOf(randomModule({ outFeatures: 30, inFeatures: 20, rank: 2 }, 9))
  const alone = runRound(florist, { updates, settings: { tau: 0.5 } }).global.modules[0]!
  const [module] = runRound(florist, { updates, global, settings: { tau: 0.5 } }).global.modules
  expect(alone.rank).toBeLessThan(12)
  expect(module!.rank).toBe(2 + alone.rank)
  expect(Array.from(module!.a)).toEqual([...global.modules[0]!.a, ...alone.a])
})

/** One value per factor: dW of a client is a·b at scale alpha = 2. */
function scalar(clientId: string, weight: number, values: Record<string, [a: number, b: number]>): Update {
  const modules = Object.entries(values).map(([name, [a, b]]) => ({
    ...{ name, outFeatures: 1, inFeatures: 1, rank: 1, alpha: 2, scaling: "lora" as const },
    ...{ a: Float32Array.of(a), b: Float32Array.of(b) },
  }))
  return { clientId, weight, adapter: { modules } }
}

test("fedpipe weighs a module among its contributors, and leaves alone what nobody trained", () => {
  const updates = [
    scalar("a", 1, { q: [2, 3], v: [1, 5] }),
    scalar("b", 2, { q: [4, 1] }),
    scalar("c", 1, { v: [3, 7] }),
  ]
  const kept = { ...randomModule({ name: "k", outFeatures: 2, inFeatures: 2, rank: 1 }, 1), alpha: 5 }
  const global = adapterOf(kept)
  const stack = runRound(fedpipe, { updates, global, settings: { combine: "stack" } })
  // q: shares 1/3, 2/3: 2·(6/3 + 2·4/3) = 28/3; v: 1/2 each: 2·(5 + 21)/2 = 26
  const values = stack.global.modules.map((module) => [module.name, denseOf(module)[0]])
  expect(values.map(([name]) => name)).toEqual(["k", "q", "v"])
  expect(values[1]![1]).toBeCloseTo(28 / 3, 6)
  expect(values[2]![1]).toBeCloseTo(26, 6)
  expect(stack.global.modules[0]).toBe(kept)
  expect(stack.coverage).toEqual([
    { module: "q", clients: 2, share: 0.75 },
    { module: "v", clients: 2, share: 0.5 },
  ])
  const pad = runRound(fedpipe, { updates, settings: { combine: "pad" } })
  // q: A = (2 + 2·4)/3 = 10/3, B = (3 + 2)/3 = 5/3, scale 2: 100/9 for 28/3; v: 2·2·6 = 24 for 26
  expect(denseOf(pad.global.modules[0]!)[0]).toBeCloseTo(100 / 9, 5)
  expect(denseOf(pad.global.modules[1]!)[0]).toBeCloseTo(24, 5)
  expect(pad.errors[0]!.relativeError).toBeCloseTo((100 / 9 - 28 / 3) / (28 / 3), 6)
  expect(pad.errors[1]!.relativeError).toBeCloseTo(2 / 26, 6)
})

test("a padded round is stacked onto the global adapter", () => {
  const updates = [2, 3].map((rank) => ({
    ...{ clientId: `c${rank}`, weight: 1 },
    adapter: adapterOf(randomModule({ outFeatures: 30, inFeatures: 20, rank }, rank)),
  }))
  const before = randomModule({ outFeatures: 30, inFeatures: 20, rank: 4 }, 9)
  const first = runRound(fedpipe, { updates, settings: { combine: "pad" } }).global.modules[0]!
  const { global, stackedRank } = runRound(fedpipe, {
    updates,
    global: adapterOf(before),
    settings: { combine: "pad" },
  })
  expect([first.rank, stackedRank]).toEqual([3, 7])
  const sum = denseOf(before).map((value, i) => value + denseOf(first)[i]!)
  expect(denseError(denseOf(global.modules[0]!), sum)).toBeLessThan(1e-6)
})

test("the global adapter is compressed as the recipe says, and the cut is reported", () => {
  const updates = [1, 2, 3].map((seed) => ({
    ...{ clientId: `c${seed}`, weight: 1 },
    adapter: adapterOf(randomModule({ outFeatures: 30, inFeatures: 20, rank: 4 }, seed)),
  }))
  const result = runRound(flora, { updates, settings: { compress: { tau: 0, maxRank: 5 } } })
  expect([result.stackedRank, result.rank]).toEqual([12, 5])
  const direct = denseError(denseOf(result.global.modules[0]!), denseTarget(updates, "q_proj"))
  expect(result.compressionErrors[0]!.relativeError).toBeCloseTo(direct, 6)
  expect(direct).toBeGreaterThan(0.1)
})
