import { decodeAdapter, encodeAdapter } from "@lamina/protocol"
import type { AdapterModule, Update } from "@lamina/protocol"

import { STRATEGIES } from "./strategies.js"
import type { RoundResult, ServerOptimizer } from "./strategy.js"
import { adapterOf, denseError, denseOf, denseTarget, randomModule } from "./testing/cohorts.js"
import { runRound } from "./testing/rounds.js"

/** One row: A and B of a 1 x 1 module. */
const one = (a: number, b: number): AdapterModule => ({
  ...{ name: "q", outFeatures: 1, inFeatures: 1, rank: 1, alpha: 2, scaling: "lora" },
  ...{ a: Float32Array.of(a), b: Float32Array.of(b) },
})
const client = (clientId: string, weight: number, a: number, b: number): Update => ({
  ...{ clientId, weight, adapter: adapterOf(one(a, b)) },
})
const optimizer = (name: ServerOptimizer["name"]): ServerOptimizer => ({
  ...{ name, learningRate: 0.5, beta1: 0.5, beta2: 0.75, tau: 0.25 },
})
const ofA = ({ global }: RoundResult): number => global.modules[0]!.a[0]!

/** Three rounds of two clients: the average of A is 1, then 3, then 4; the first is where the second starts. */
function threeRounds(name: ServerOptimizer["name"]): RoundResult[] {
  const settings = { serverOptimizer: optimizer(name) }
  const averages = [
    [client("a", 1, 0, 1), client("b", 1, 2, 1)],
    [client("a", 1, 1, 1), client("b", 1, 5, 1)],
    [client("a", 3, 3, 1), client("b", 1, 7, 1)],
  ]
  const results: RoundResult[] = []
  for (const updates of averages) {
    const { global, state } = results.at(-1) ?? {}
    // what a coordinator stores between rounds
    const kept = state && decodeAdapter(encodeAdapter(state))
    results.push(runRound(STRATEGIES.fedit, { updates, global, state: kept, settings }))
  }
  return results
}

test("avgm: momentum of the pseudo-gradients", () => {
  const [first, second, third] = threeRounds("avgm")
  // round 1 as averaged; d = 3 - 1 = 2, m = 2: 1 + 0.5·2 = 2; d = 4 - 2 = 2, m = 0.5·2 + 2 = 3: 2 + 0.5·3 = 3.5
  expect([ofA(first!), ofA(second!), ofA(third!)]).toEqual([1, 2, 3.5])
  expect([first!.state, third!.state!.modules.map(({ name }) => name)]).toEqual([undefined, ["q#m"]])
})

test("adam: moments as in algorithm 2, v from tau²", () => {
  const [first, second, third] = threeRounds("adam")
  const v1 = 0.75 * 0.0625 + 0.25 * 4
  const x1 = 1 + (0.5 * 1) / (Math.sqrt(v1) + 0.25) // m = 0.5·2
  const d2 = 4 - x1
  const v2 = 0.75 * v1 + 0.25 * d2 ** 2
  const x2 = x1 + (0.5 * (0.5 * 1 + 0.5 * d2)) / (Math.sqrt(v2) + 0.25)
  expect(ofA(first!)).toBe(1)
  expect(ofA(second!)).toBeCloseTo(x1, 6)
  expect(ofA(third!)).toBeCloseTo(x2, 6)
  expect(third!.state!.modules.map(({ name }) => name)).toEqual(["q#m", "q#v"])
})

test("yogi: the second moment moves by the sign of v - d²", () => {
  const [, second, third] = threeRounds("yogi")
  const v1 = 0.0625 + 0.25 * 4 // v < d²
  const x1 = 1 + 0.5 / (Math.sqrt(v1) + 0.25)
  const d2 = 4 - x1
  const v2 = v1 - 0.25 * d2 ** 2 * Math.sign(v1 - d2 ** 2)
  expect(ofA(second!)).toBeCloseTo(x1, 6)
  expect(ofA(third!)).toBeCloseTo(x1 + (0.5 * (0.5 + 0.5 * d2)) / (Math.sqrt(v2) + 0.25), 6)
})

const plain: ServerOptimizer = { ...optimizer("avgm"), learningRate: 1, beta1: 0 }
test.each(["fedit", "zeropad", "hetlora", "ffa", "fedex"] as const)(
  "%s: avgm without momentum at rate 1 is the average, also with unequal ranks and scales",
  (name) => {
    const equal = name === "fedit" || name === "fedex"
    const updates = [1, 2, 3].map((rank, k) => ({
      ...{ clientId: `c${k}`, weight: k + 1 },
      adapter: adapterOf(
        randomModule({ outFeatures: 9, inFeatures: 8, rank: equal ? 2 : rank, alpha: 4, scaling: "rslora" }, k),
      ),
    }))
    if (name === "ffa")
      for (const { adapter } of updates)
        adapter.modules[0]!.a.set(updates[2]!.adapter.modules[0]!.a.subarray(0, adapter.modules[0]!.a.length))
    const global = runRound(STRATEGIES[name], { updates }).global
    const settings = { serverOptimizer: plain }
    const stepped = runRound(STRATEGIES[name], { updates: [...updates].reverse(), global, settings })
    const averaged = runRound(STRATEGIES[name], { updates, global })
    // start + (average - start): one more rounding in f64, one of f32
    expect(denseError(denseOf(stepped.global.modules[0]!), denseOf(averaged.global.modules[0]!))).toBeLessThan(1e-6)
    expect([averaged.state, stepped.state!.modules.length]).toEqual([undefined, 1])
  },
)

test("rows that begin this round are taken as averaged, and A stays frozen with ffa", () => {
  const settings = { serverOptimizer: { ...plain, learningRate: 0.5 } }
  const two: AdapterModule = { ...one(1, 4), rank: 2, alpha: 4, a: Float32Array.of(1, 9), b: Float32Array.of(4, 6) }
  const updates = [{ clientId: "a", weight: 1, adapter: adapterOf(two) }]
  const global = adapterOf(one(1, 2))
  const [module] = runRound(STRATEGIES.ffa, { updates, global, settings }).global.modules
  // B starts at 2 and goes half the way to 4; the second row has no start
  expect([Array.from(module!.a), Array.from(module!.b)]).toEqual([
    [1, 9],
    [3, 6],
  ])
})

test("moments follow a change of the module's scale", () => {
  const settings = { scaling: "rslora" as const, alphaPerRank: 1, serverOptimizer: { ...plain, beta1: 0.5 } }
  const at = (rank: number, b: number): Update => ({
    ...{ clientId: "a", weight: 1 },
    adapter: adapterOf({
      ...{ ...one(1, b), rank, alpha: rank, scaling: "rslora", a: new Float32Array(rank).fill(1) },
      b: Float32Array.from({ length: rank }, (_, r) => (r === 0 ? b : 0)),
    }),
  })
  const first = runRound(STRATEGIES.zeropad, { updates: [at(1, 1)], settings })
  const second = runRound(STRATEGIES.zeropad, { updates: [at(1, 3)], global: first.global, settings })
  // d = 2 at scale 1: m = 2, B = 3. At rank 4 the scale is 2: m is 1, the start 1.5, d = 2.5 - 1.5 = 1, m = 0.5 + 1
  const third = runRound(STRATEGIES.zeropad, { updates: [at(4, 2.5)], ...second, settings })
  expect([second.global.modules[0]!.b[0], third.global.modules[0]!.b[0]]).toEqual([3, 3])
  expect(third.state!.modules[0]!.b[0]).toBe(1.5)
  // the second moment by the square: adam at rate 1 from B = 1 with d = 2, then at half the units
  const adam = { ...settings, serverOptimizer: { ...plain, name: "adam" as const, beta2: 0.75, tau: 0.25 } }
  const moved = runRound(STRATEGIES.zeropad, { updates: [at(1, 3)], global: first.global, settings: adam })
  const v = 0.75 * 0.0625 + 0.25 * 4
  const start = (1 + 2 / (Math.sqrt(v) + 0.25)) / 2
  const wider = runRound(STRATEGIES.zeropad, { updates: [at(4, 2.5)], ...moved, settings: adam })
  expect(wider.state!.modules.find(({ name }) => name === "q#v")!.b[0]).toBeCloseTo(
    (0.75 * v) / 4 + 0.25 * (2.5 - start) ** 2,
    6,
  )
})

test("fedex carries the residual of the average, so that a step is not undone", () => {
  const updates = [1, 2].map((seed) => ({
    ...{ clientId: `c${seed}`, weight: 1 },
    adapter: adapterOf(randomModule({ outFeatures: 9, inFeatures: 8, rank: 2 }, seed)),
  }))
  const { global } = runRound(STRATEGIES.fedit, { updates })
  const moved = updates.map((update, k) => ({
    ...update,
    adapter: adapterOf(randomModule({ outFeatures: 9, inFeatures: 8, rank: 2 }, 5 + k)),
  }))
  const settings = { serverOptimizer: { ...plain, learningRate: 0.5 } }
  const round = { updates: moved, global, settings }
  const [exact] = [denseTarget(moved, "q_proj")]
  const average = denseOf(runRound(STRATEGIES.fedit, { ...round, settings: {} }).global.modules[0]!)
  const stepped = denseOf(runRound(STRATEGIES.fedit, round).global.modules[0]!)
  const expected = exact.map((value, i) => value - average[i]! + stepped[i]!)
  const { global: result, errors } = runRound(STRATEGIES.fedex, round)
  expect(denseError(denseOf(result.modules[0]!), expected)).toBeLessThan(1e-6)
  expect(errors[0]!.relativeError).toBeCloseTo(denseError(expected, exact), 5)
  expect(errors[0]!.relativeError).toBeGreaterThan(0.1)
})
