import type { Update } from "@lamina/protocol"

import { accumulatorOf } from "./cohort.js"
import type { Contribution } from "./cohort.js"
import { STRATEGIES } from "./strategies.js"
import { adapterOf, randomModule } from "./testing/cohorts.js"
import { runRound, SETTINGS } from "./testing/rounds.js"

const size = { outFeatures: 3, inFeatures: 2, rank: 2 }
const update = (clientId: string, weight: number, ...names: string[]): Update => ({
  ...{ clientId, weight },
  adapter: adapterOf(...names.map((name) => randomModule({ ...size, name }, 1))),
})
const strategies = Object.values(STRATEGIES)

test("shares are over the whole cohort, also for a module some lack, and coverage says who has it", () => {
  const clients = [
    { clientId: "a", weight: 3 },
    { clientId: "b", weight: 1 },
    { clientId: "idle", weight: 0 },
  ]
  const round = { settings: SETTINGS, global: undefined, state: undefined, clients }
  const taken: Contribution[] = []
  const accumulator = accumulatorOf(round, {
    take: (contribution) => taken.push(contribution),
    finish: () => ({
      ...{ global: adapterOf(), state: undefined, errors: [], compressionErrors: [] },
      ...{ stackedRank: 0, rank: 0, prunedRanks: new Map() },
    }),
  })
  for (const each of [update("a", 3, "q"), update("b", 1, "v", "q"), update("idle", 0, "x")]) accumulator.add(each)
  expect(taken.map(({ clientId, share, modules }) => [clientId, share, modules.map(({ name }) => name)])).toEqual([
    ["a", 0.75, ["q"]],
    ["b", 0.25, ["v", "q"]],
  ])
  expect(accumulator.finish().coverage).toEqual([
    { module: "q", clients: 2, share: 1 },
    { module: "v", clients: 1, share: 0.25 },
  ])
})

test("values are looked at by every strategy, unless they are said to be finite", () => {
  const module = { ...randomModule({ ...size, name: "q" }, 1), rank: 2 }
  const wrong = { ...module, a: Float32Array.from(module.a, () => Infinity) }
  for (const strategy of strategies) {
    const round = {
      settings: SETTINGS,
      global: adapterOf(wrong), // `ffa` wants the A of the one before
      state: undefined,
      clients: [{ clientId: "a", weight: 1 }],
    }
    const sent = { clientId: "a", weight: 1, adapter: adapterOf(wrong) }
    const refused = expect.objectContaining({ code: "UPDATE_NOT_FINITE" }) as Error
    expect(() => strategy.accumulate(round).add(sent)).toThrow(refused)
    expect(() => strategy.accumulate(round).add({ ...sent, finite: true })).not.toThrow()
  }
})

const other = adapterOf(randomModule({ ...size, name: "q", inFeatures: 4 }, 1))
test.each<[string, Update[], string[] | undefined]>([
  ["ROUND_EMPTY", [], undefined],
  ["UPLOAD_CONFLICT", [update("a", 1, "q"), update("a", 1, "q")], undefined],
  ["UPLOAD_CONFLICT", [update("a", 1, "q"), update("b", 1, "q")], ["a"]],
  ["UPLOAD_CONFLICT", [update("a", 1, "q"), update("b", 1, "q")], ["a", "a"]],
  ["UPLOAD_CONFLICT", [update("a", 1, "q"), update("b", 1, "q")], ["a", "c"]],
  ["UPDATE_WEIGHT", [update("a", -1, "q"), update("b", 2, "q")], undefined],
  ["UPDATE_WEIGHT", [update("a", NaN, "q")], undefined],
  ["UPDATE_WEIGHT", [update("a", Infinity, "q")], undefined],
  ["UPDATE_WEIGHT", [update("a", 0, "q"), update("b", 0, "q")], undefined],
  ["UPDATE_MODULE", [update("a", 1, "q", "q")], undefined],
  ["UPDATE_SHAPE", [update("a", 1, "q"), { ...update("b", 1), adapter: other }], undefined],
  [
    "UPDATE_SHAPE",
    [{ ...update("a", 1), adapter: adapterOf({ ...randomModule(size, 1), a: new Float32Array(3) }) }],
    undefined,
  ],
  ["UPDATE_SHAPE", [{ ...update("a", 1), adapter: adapterOf({ ...randomModule(size, 1), rank: 0 }) }], undefined],
  [
    "UPDATE_NOT_FINITE",
    [{ ...update("a", 1), adapter: adapterOf({ ...randomModule(size, 1), b: new Float32Array(6).fill(NaN) }) }],
    undefined,
  ],
])("a cohort is refused with %s by every strategy (%#)", (code, updates, order) => {
  for (const strategy of strategies)
    expect(() => runRound(strategy, { updates, ...(order && { order }) })).toThrow(expect.objectContaining({ code }))
})

test("updates come in the order of the round, all of them, and fit the global adapter", () => {
  const clients = ["a", "b"].map((clientId) => ({ clientId, weight: 1 }))
  for (const strategy of strategies) {
    const open = (global?: Update["adapter"]) =>
      strategy.accumulate({ settings: SETTINGS, global, state: undefined, clients })
    const conflict = expect.objectContaining({ code: "UPLOAD_CONFLICT" })
    const inOrder = open()
    expect(() => inOrder.add(update("b", 1, "q"))).toThrow(conflict)
    inOrder.add(update("a", 1, "q"))
    expect(() => inOrder.finish()).toThrow(conflict)
    expect(() => inOrder.add(update("a", 1, "q"))).toThrow(conflict)
    inOrder.add(update("b", 1, "q"))
    expect(() => inOrder.add(update("c", 1, "q"))).toThrow(conflict)
    expect(inOrder.finish().coverage).toEqual([{ module: "q", clients: 2, share: 1 }])
    const shape = expect.objectContaining({ code: "UPDATE_SHAPE" })
    expect(() => open(other).add(update("a", 1, "q"))).toThrow(shape)
  }
})
