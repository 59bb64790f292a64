import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { initKernels } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"

import { createSensitivity, observe, tripletScores } from "./sensitivity.js"
import type { Sensitivity } from "./sensitivity.js"
import { smallData, smallJob } from "./testing/small-job.js"
import { trainOn } from "./train.js"

beforeAll(() => initKernels({ backend: "cpu" }))

test("I is |w g| smoothed, U its distance from I smoothed", () => {
  const state = createSensitivity(2)
  observe(state, Float32Array.of(2, -1), Float32Array.of(-3, 0))
  // |w g| = 6: I = 0.15 · 6 = 0.9, U = 0.15 · (6 - 0.9) = 0.765
  expect([...state.smoothed]).toEqual([expect.closeTo(0.9, 6), 0])
  expect([...state.variation]).toEqual([expect.closeTo(0.765, 6), 0])
  observe(state, Float32Array.of(2, -1), Float32Array.of(0, 4))
  // 0 and 4: I = 0.85 · 0.9 = 0.765 and 0.6; U = 0.85 · 0.765 + 0.15 · 0.765 and 0.15 · (4 - 0.6)
  expect([...state.smoothed]).toEqual([expect.closeTo(0.765, 6), expect.closeTo(0.6, 6)])
  expect([...state.variation]).toEqual([expect.closeTo(0.765, 6), expect.closeTo(0.51, 6)])
})

test("a triplet scores the mean of its column of B plus the mean of its row of A", () => {
  const adapter = { modules: [{ name: "q", rank: 2, inFeatures: 3, outFeatures: 2 }] } as unknown as Adapter
  const of = (smoothed: number[], variation: number[]): Sensitivity => ({
    smoothed: Float32Array.from(smoothed),
    variation: Float32Array.from(variation),
  })
  const a = of([1, 2, 3, 4, 5, 6], [1, 1, 2, 0, 1, 1]) // rows 1 + 2 + 6 and 0 + 5 + 6
  const b = of([1, 2, 3, 4], [2, 2, 2, 2]) // columns 2 + 6 and 4 + 8
  expect(tripletScores(adapter, [a, b], {})).toEqual([{ name: "q", values: [4 + 3, 6 + 11 / 3] }])
  expect(tripletScores(adapter, [b], { freezeA: true })).toEqual([{ name: "q", values: [4, 6] }])
})

test("a job reports a score of every triplet where it is asked to, and trains the same", async () => {
  const plain = await trainOn(smallJob(), smallData(5))
  const told = await trainOn(smallJob({ reportScores: true }), smallData(5))
  expect(plain.scores).toBeUndefined()
  expect(told.adapter).toEqual(plain.adapter)
  expect(told.scores?.map(({ name }) => name)).toEqual(told.adapter.modules.map(({ name }) => name))
  for (const { values } of told.scores ?? []) {
    expect(values).toHaveLength(2)
    for (const value of values) expect(value).toBeGreaterThan(0)
  }
  const frozen = await trainOn(smallJob({ reportScores: true, freezeA: true }), smallData(5))
  for (const { values } of frozen.scores ?? []) for (const value of values) expect(value).toBeGreaterThan(0)
})

test("a module whose factors matter more to the loss scores higher", async () => {
  const settings = { reportScores: true, clipNorm: 0, learningRate: 1e-9, warmupSteps: 0 }
  const scoreAt = async (scale: number): Promise<number> => {
    const { adapter: initial } = await trainOn(smallJob(), smallData(5))
    const [first] = initial.modules
    for (let i = 0; i < first!.b.length; i++) first!.b[i]! *= scale
    const { scores } = await trainOn({ ...smallJob(settings), initial }, smallData(5))
    return scores![0]!.values[0]!
  }
  // with B = 0 neither w g of B nor dA is anything
  expect(await scoreAt(0)).toBeLessThan(0.01 * (await scoreAt(1)))
})

test("a resumed job reports the scores of one that was never stopped", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lamina-scores-"))
  try {
    const checkpoint = { path: join(folder, "state"), everySteps: 2 }
    const job = { ...smallJob({ reportScores: true }), checkpoint }
    const stop = new AbortController()
    const onProgress = ({ step }: { step: number }): void => {
      if (step === 3) stop.abort(new Error("stopped here"))
    }
    await expect(trainOn(job, smallData(5), { signal: stop.signal, onProgress })).rejects.toThrow("stopped here")
    const resumed = await trainOn(job, smallData(5))
    expect(resumed.resumedFromStep).toBe(3)
    expect(resumed.scores).toEqual((await trainOn(smallJob({ reportScores: true }), smallData(5))).scores)
    await expect(trainOn({ ...smallJob(), checkpoint }, smallData(5))).rejects.toMatchObject({
      code: "CHECKPOINT_MISMATCH",
    })
  } finally {
    await rm(folder, { recursive: true })
  }
})
