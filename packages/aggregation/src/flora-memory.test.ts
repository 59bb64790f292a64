import { createHash } from "node:crypto"

import { chooseLinalgBackend } from "@lamina/kernels/linalg"
import { encodeAdapter } from "@lamina/protocol"
import type { Adapter, Update } from "@lamina/protocol"
import fc from "fast-check"

import { flora } from "./flora.js"
import { RoundMemory } from "./round-memory.js"
import type { RoundInput, RoundResult } from "./strategy.js"
import { adapterOf, randomModule } from "./testing/cohorts.js"
import { SETTINGS } from "./testing/rounds.js"

/** At least one module above and one below 256 input features, and sums of ranks on both sides of min(m, n). */
const cohorts = fc.record({
  m: fc.integer({ min: 10, max: 60 }),
  ranks: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 }),
  seed: fc.nat(),
})

function updatesOf({ m, ranks, seed }: { m: number; ranks: readonly number[]; seed: number }): Update[] {
  return ranks.map((rank, k) => {
    const wide = randomModule({ name: "wide", outFeatures: m, inFeatures: 261, rank, alpha: 3 }, seed + k)
    const narrow = randomModule({ name: "narrow", outFeatures: m, inFeatures: 31, rank, scaling: "rslora" }, seed - k)
    const own = randomModule({ name: `own${k % 3}`, outFeatures: 64, inFeatures: 300, rank }, seed + 99)
    const zero = { ...randomModule({ name: "zero", outFeatures: 70, inFeatures: 300, rank }, 1) }
    const none = { ...zero, a: new Float32Array(rank * 300), b: new Float32Array(70 * rank) }
    return { clientId: `c${k}`, weight: 1 + k, adapter: adapterOf(wide, narrow, own, none) }
  })
}

/** Comparing adapters byte by byte takes seconds. */
function hashOf(adapter: Adapter): string {
  return createHash("sha256").update(encodeAdapter(adapter)).digest("hex")
}

/** `atOnce`: how many are added together. */
function round(
  updates: readonly Update[],
  more: { known: boolean; memory?: RoundMemory; atOnce?: number; announced?: number },
): RoundResult {
  const clients = updates.map(({ clientId, weight, adapter }) => ({
    ...{ clientId, weight },
    ...(more.known ? { rankMax: (more.announced ?? 0) + Math.max(...adapter.modules.map(({ rank }) => rank)) } : {}),
  }))
  const input: RoundInput = { settings: SETTINGS, global: undefined, state: undefined, clients }
  const accumulator = flora.accumulate(more.memory ? { ...input, memory: more.memory } : input)
  const atOnce = more.atOnce ?? 1
  for (let from = 0; from < updates.length; from += atOnce) {
    const sent = structuredClone(updates.slice(from, from + atOnce))
    accumulator.add(...sent)
    for (const { adapter } of sent)
      for (const { a, b } of adapter.modules) for (const values of [a, b]) values.fill(NaN) // nobody's any more
  }
  return accumulator.finish()
}

afterEach(() => chooseLinalgBackend("native"))

test.each(["native", "reference"] as const)(
  "a stack has the same bits whether ranks are known before or not, in fresh memory and in used, however grouped (%s)",
  (backend) => {
    chooseLinalgBackend(backend)
    const memory = new RoundMemory(2 ** 24)
    fc.assert(
      fc.property(cohorts, (cohort) => {
        const updates = updatesOf(cohort)
        const wanted = round(updates, { known: false })
        const hash = hashOf(wanted.global)
        for (const got of [
          round(updates, { known: true }),
          round(updates, { known: true, memory }),
          round(updates, { known: true, atOnce: 3 }),
          round(updates, { known: true, atOnce: 99, announced: 1 }),
          round(updates, { known: false, atOnce: 2 }),
        ])
          expect({ ...got, global: hashOf(got.global) }).toEqual({ ...wanted, global: hash })
        memory.release()
      }),
      { seed: 20260101, numRuns: 15 },
    )
  },
)

test("the result of a round stays what it is while the next is stacked, until it is released", () => {
  const [first, second] = [updatesOf({ m: 60, ranks: [8, 4], seed: 1 }), updatesOf({ m: 60, ranks: [8, 4], seed: 7 })]
  const memory = new RoundMemory(2 ** 24)
  const result = round(first, { known: true, memory })
  const hash = hashOf(result.global)
  round(second, { known: true, memory })
  expect(hashOf(result.global)).toBe(hash)
  memory.release()
  const again = round(second, { known: true, memory })
  // at least one of the three rounds' arrays came back, else nothing here was tested
  const before = new Set(result.global.modules.map(({ a }) => a.buffer))
  expect(again.global.modules.some(({ a }) => before.has(a.buffer))).toBe(true)
})

test("an update that is refused leaves nothing behind, wherever its values are wrong", () => {
  const updates = updatesOf({ m: 60, ranks: [8, 4], seed: 3 })
  const wanted = hashOf(round(updates, { known: true }).global)
  const clients = updates.map(({ clientId, weight }) => ({ clientId, weight, rankMax: 8 }))
  const accumulator = flora.accumulate({ settings: SETTINGS, global: undefined, state: undefined, clients })
  for (const update of updates) {
    for (const [i, side] of [
      [0, "a"],
      [0, "b"],
      [1, "b"],
      [2, "a"],
    ] as const)
      for (const value of [NaN, -Infinity]) {
        const spoilt = structuredClone(update)
        const values = spoilt.adapter.modules[i]![side]
        values[values.length - 1] = value
        expect(() => accumulator.add(spoilt)).toThrow(
          expect.objectContaining({
            code: "UPDATE_NOT_FINITE",
            message: expect.stringContaining(`module ${update.adapter.modules[i]!.name}: `) as string,
          }),
        )
      }
    accumulator.add(update)
  }
  expect(hashOf(accumulator.finish().global)).toBe(wanted)
})

test("of updates added together those before the first that is refused count, and those behind it do not", () => {
  const updates = updatesOf({ m: 60, ranks: [2, 4, 3, 1], seed: 5 })
  const wanted = hashOf(round(updates, { known: true }).global)
  const clients = updates.map(({ clientId, weight }) => ({ clientId, weight, rankMax: 4 }))
  const spoilt = structuredClone(updates)
  spoilt[2]!.adapter.modules[0]!.b[7] = NaN
  spoilt[3]!.adapter.modules[0]!.a[7] = NaN
  const named = expect.objectContaining({
    code: "UPDATE_NOT_FINITE",
    message: expect.stringContaining("client c2: module wide: ") as string,
  })
  for (const group of [spoilt, [...spoilt.slice(0, 3), updates[0]!]]) {
    const accumulator = flora.accumulate({ settings: SETTINGS, global: undefined, state: undefined, clients })
    expect(() => accumulator.add(...group)).toThrow(named)
    expect(() => accumulator.add(updates[3]!)).toThrow(expect.objectContaining({ code: "UPLOAD_CONFLICT" }))
    accumulator.add(...updates.slice(2))
    expect(hashOf(accumulator.finish().global)).toBe(wanted)
  }
})

test("more ranks than announced are refused by name", () => {
  const [update] = updatesOf({ m: 60, ranks: [8], seed: 3 })
  const clients = [{ clientId: "c0", weight: 1, rankMax: 7 }]
  const accumulator = flora.accumulate({ settings: SETTINGS, global: undefined, state: undefined, clients })
  expect(() => accumulator.add(update!)).toThrow(
    expect.objectContaining({
      code: "UPDATE_RANK",
      message: expect.stringMatching(/c0: module wide: .*7.*8/) as string,
    }),
  )
})
