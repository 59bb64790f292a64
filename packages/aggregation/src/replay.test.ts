import { encodeAdapter } from "@lamina/protocol"
import type { Adapter, Update } from "@lamina/protocol"
import fc from "fast-check"

import { replay, withoutClient } from "./replay.js"
import type { StoredRound } from "./replay.js"
import { STRATEGIES } from "./strategies.js"
import type { StrategySettings } from "./strategy.js"
import { unequalCohort } from "./testing/arbitraries.js"
import { adapterOf, denseError, denseOf, denseTarget, randomModule } from "./testing/cohorts.js"
import { runRound, SETTINGS } from "./testing/rounds.js"

const RUNS = { seed: 20260101, numRuns: 30 }
const bytesOf = (adapter: Adapter): string => Buffer.from(encodeAdapter(adapter)).toString("hex")

/** A cohort as stored: clients sorted as runRound sorts them. */
function stored(updates: readonly Update[], without?: string): StoredRound {
  const sorted = [...updates].sort((left, right) => (left.clientId < right.clientId ? -1 : 1))
  const clients = sorted.map(({ clientId, weight }) => ({ clientId, weight }))
  return { clients, updates: sorted.filter(({ clientId }) => clientId !== without) }
}

/** What is left after the last round. */
async function lastWithout(...given: Parameters<typeof withoutClient>): Promise<Adapter | undefined> {
  let last: Adapter | undefined
  for await (const global of withoutClient(...given)) last = global
  return last
}

/** The cohort again with other values, as if trained in a later round. */
function later(updates: readonly Update[], seed: number): Update[] {
  return updates.map(({ adapter, ...rest }, k) => ({
    ...rest,
    adapter: adapterOf(...adapter.modules.map((module, j) => randomModule(module, seed + 10 * k + j))),
  }))
}

test.each(Object.values(STRATEGIES).filter(({ name }) => !["fedit", "fedex", "ffa"].includes(name)))(
  "stored rounds of $name give the bytes that they gave then",
  (strategy) =>
    fc.assert(
      fc.asyncProperty(unequalCohort, async (updates) => {
        const rounds = [updates, later(updates, 1)]
        let global: Adapter | undefined
        const then = rounds.map((round) => bytesOf((global = runRound(strategy, { updates: round, global }).global)))
        const again: string[] = []
        for await (const result of replay(
          rounds.map((round) => stored(round)),
          SETTINGS,
          strategy,
        ))
          again.push(bytesOf(result.global))
        expect(again).toEqual(then)
      }),
      RUNS,
    ),
)

test("without a client, a stack is byte for byte the one it never was in, its update still there or not", () =>
  fc.assert(
    fc.asyncProperty(unequalCohort, async (updates) => {
      const rounds = [updates, later(updates, 1)]
      // the rest at their own shares: a client without modules takes its place in the weights
      const rest = rounds.map((round) =>
        round.map((update) => (update.clientId === "client-0" ? { ...update, adapter: adapterOf() } : update)),
      )
      for (const strategy of [STRATEGIES.flora, STRATEGIES.florist]) {
        let before: Adapter | undefined
        const expected = rest.map((round) => {
          before = runRound(strategy, { updates: round, global: before }).global
          return before.modules.length > 0 ? bytesOf(before) : undefined
        })
        for (const gone of [undefined, "client-0"]) {
          const kept = rounds.map((round) => stored(round, gone))
          const globals: (string | undefined)[] = []
          for await (const global of withoutClient(kept, { id: "client-0" }, SETTINGS, strategy))
            globals.push(global && bytesOf(global))
          expect(globals).toEqual(expected)
        }
      }
    }),
    RUNS,
  ))

test.each<Partial<StrategySettings>>([{ combine: "stack" }, { combine: "pad" }])(
  "without a client, fedpipe's sum loses its term and nothing else (%p)",
  (combine) =>
    fc.assert(
      fc.asyncProperty(unequalCohort, async (updates) => {
        const settings = { ...SETTINGS, ...combine }
        const global = await lastWithout([stored(updates)], { id: "client-0" }, settings, STRATEGIES.fedpipe)
        for (const module of global?.modules ?? []) {
          const name = module.name
          const contributors = updates.filter(({ adapter }) => adapter.modules.some((each) => each.name === name))
          const zeros = contributors.map(({ adapter, ...rest }) => ({
            ...rest,
            adapter: adapterOf(
              ...adapter.modules.map((each) =>
                rest.clientId === "client-0" ? { ...each, a: each.a.map(() => 0), b: each.b.map(() => 0) } : each,
              ),
            ),
          }))
          const target =
            combine.combine === "stack"
              ? denseTarget(zeros, name)
              : denseOf(runRound(STRATEGIES.zeropad, { updates: zeros }).global.modules.find((m) => m.name === name)!)
          expect(denseError(denseOf(module), target)).toBeLessThan(1e-6)
        }
        expect(updates.length === 1 ? global : 0).toBe(updates.length === 1 ? undefined : 0)
      }),
      RUNS,
    ),
)

test("the removed client's rows are gone from the rank", async () => {
  const updates = [2, 3, 4].map((rank, k) => ({
    ...{ clientId: `c${k}`, weight: 1 },
    adapter: adapterOf(randomModule({ outFeatures: 30, inFeatures: 20, rank }, k)),
  }))
  const global = await lastWithout([stored(updates)], { id: "c1" }, SETTINGS, STRATEGIES.flora)
  expect(global!.modules[0]!.rank).toBe(6)
})

test("strategies that replace the global adapter cannot forget, and fedpipe needs the update", async () => {
  for (const name of ["flexlora", "fedit", "zeropad", "hetlora", "ffa", "fedex"] as const)
    expect(() => withoutClient([], { id: "a" }, SETTINGS, STRATEGIES[name])).toThrow(
      expect.objectContaining({
        ...{ code: "STRATEGY_UNSUITABLE", message: expect.stringContaining("train on from what client a gave") },
      }),
    )
  expect(() => withoutClient([], { id: "a", name: "ada" }, SETTINGS, STRATEGIES.fedit)).toThrow("what client ada gave")
  const updates = ["a", "b"].map((clientId) => ({
    ...{ clientId, weight: 1 },
    adapter: adapterOf(randomModule({ outFeatures: 3, inFeatures: 2, rank: 1 }, 1)),
  }))
  await expect(lastWithout([stored(updates, "b")], { id: "b" }, SETTINGS, STRATEGIES.fedpipe)).rejects.toMatchObject({
    code: "UPLOAD_CONFLICT",
  })
})
