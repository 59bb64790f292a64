import type { AdapterModule, Update } from "@lamina/protocol"
import fc from "fast-check"

import { adapterOf, randomModule } from "./cohorts.js"

/** Runs of a property; the seed is fixed, a failure prints it with the smallest counterexample. */
export const RUNS = { seed: 20260101, numRuns: 60 }

const side = fc.integer({ min: 1, max: 24 })
const scaling = fc.constantFrom("lora" as const, "rslora" as const)

/**
 * 1..64 clients with two modules of one shape each, ranks 1..9, alphas and rules of their own; a client may lack the
 * second module.
 */
export const anyCohort: fc.Arbitrary<Update[]> = fc
  .tuple(fc.tuple(side, side), fc.tuple(side, side), fc.integer())
  .chain(([[m1, n1], [m2, n2], seed]) =>
    fc
      .array(
        fc.record({
          rank: fc.integer({ min: 1, max: 9 }),
          alpha: fc.integer({ min: 1, max: 64 }),
          scaling,
          weight: fc.integer({ min: 1, max: 1_000_000 }),
          both: fc.boolean(),
        }),
        { minLength: 1, maxLength: 64 },
      )
      .map((clients) =>
        clients.map(({ weight, both, ...adapter }, k) => {
          const first = randomModule({ name: "k_proj", outFeatures: m1, inFeatures: n1, ...adapter }, seed + 2 * k)
          const second = randomModule({ name: "q_proj", outFeatures: m2, inFeatures: n2, ...adapter }, seed + 2 * k + 1)
          return { clientId: `client-${k}`, weight, adapter: both ? adapterOf(first, second) : adapterOf(first) }
        }),
      ),
  )

/** The first twelve clients of `anyCohort`. */
export const unequalCohort: fc.Arbitrary<Update[]> = anyCohort.map((updates) => updates.slice(0, 12))

/** Clients whose A are the first rows of one A; alphas and rules of their own. */
export const sharedACohort: fc.Arbitrary<Update[]> = unequalCohort.map((updates) => {
  const longest = new Map<string, AdapterModule>()
  for (const { adapter } of updates)
    for (const module of adapter.modules)
      if (module.rank > (longest.get(module.name)?.rank ?? 0)) longest.set(module.name, module)
  return updates.map((update) => ({
    ...update,
    adapter: {
      modules: update.adapter.modules.map((module) => ({
        ...module,
        a: longest.get(module.name)!.a.slice(0, module.a.length),
      })),
    },
  }))
})

/** As `anyCohort`, with one rank, alpha and rule for all. */
export const equalRankCohort: fc.Arbitrary<Update[]> = fc
  .record({
    m: side,
    n: side,
    rank: fc.integer({ min: 1, max: 9 }),
    alpha: fc.integer({ min: 1, max: 64 }),
    scaling,
    seed: fc.integer(),
  })
  .chain(({ m, n, seed, ...adapter }) =>
    fc.array(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 1, maxLength: 64 }).map((weights) =>
      weights.map((weight, k) => ({
        clientId: `client-${k}`,
        weight,
        adapter: adapterOf(randomModule({ outFeatures: m, inFeatures: n, ...adapter }, seed + k)),
      })),
    ),
  )
