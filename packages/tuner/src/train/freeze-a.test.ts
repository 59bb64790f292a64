import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { initKernels } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"

import type { TrainingJob } from "../api.js"
import { initialAdapter } from "../model/lora.js"
import { smallData, smallJob } from "./testing/small-job.js"
import { trainOn } from "./train.js"

beforeAll(() => initKernels({ backend: "cpu" }))

const train = async (settings: Partial<TrainingJob["settings"]>): Promise<Adapter> =>
  (await trainOn(smallJob(settings), smallData(5))).adapter
const started = (seed: number): Adapter => {
  const { base, modules, scaling } = smallJob()
  return initialAdapter(base, { modules, scaling, seed })
}
const sides = (adapter: Adapter, side: "a" | "b"): Float32Array[] => adapter.modules.map((module) => module[side])

test("a frozen A stays as it was drawn, decay or not, and every B is trained", async () => {
  const adapter = await train({ freezeA: true })
  expect(sides(adapter, "a")).toEqual(sides(started(5), "a"))
  for (const b of sides(adapter, "b")) expect(b.some((value) => value !== 0)).toBe(true)
  expect(sides(await train({}), "a")).not.toEqual(sides(started(5), "a"))
})

test("only what is trained counts for clipping", async () => {
  // B = 0 at first: dA is zero there, and one step alone is the same whether A counts or not
  const one = { steps: 1, warmupSteps: 0, weightDecay: 0, clipNorm: 1e-3 }
  expect(sides(await train({ ...one, freezeA: true }), "b")).toEqual(sides(await train(one), "b"))
  // with B = 0.1 dA is not zero: were it counted, the first step of B would be the one it takes with A trained
  const { base, modules, scaling } = smallJob()
  const initial = initialAdapter(base, { modules, scaling, seed: 5 })
  for (const { b } of initial.modules) b.fill(0.1)
  const from = async (freezeA: boolean): Promise<Float32Array[]> => {
    const settings = { ...one, clipNorm: 1e-6, freezeA }
    return sides((await trainOn({ ...smallJob(settings), initial }, smallData(5))).adapter, "b")
  }
  // a gradient clipped to 1e-6 over some thousand values is near AdamW's eps of 1e-8: how much is clipped shows
  expect(await from(true)).not.toEqual(await from(false))
})

test("initial A comes from initSeed, data order and dropout from seed", async () => {
  const one = { steps: 1, freezeA: true }
  expect(sides(await train({ ...one, initSeed: 9 }), "a")).toEqual(sides(started(9), "a"))
  expect(sides(await train({ ...one, initSeed: 5 }), "b")).toEqual(sides(await train(one), "b"))
  const dropped = async (seed: number): Promise<Float32Array[]> =>
    sides(await train({ ...one, seed, initSeed: 9, warmupSteps: 0, steps: 2 }), "b")
  expect(await dropped(1)).not.toEqual(await dropped(2))
})

test("a checkpoint with a frozen A holds B alone, and resumes to the same bytes", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lamina-freeze-a-"))
  try {
    const path = join(folder, "state")
    const job = { ...smallJob({ freezeA: true }), checkpoint: { path, everySteps: 2 } }
    const stop = new AbortController()
    const onProgress = ({ step }: { step: number }): void => {
      if (step === 3) stop.abort(new Error("stopped here"))
    }
    await expect(trainOn(job, smallData(5), { signal: stop.signal, onProgress })).rejects.toThrow("stopped here")
    const file = await readFile(path)
    const values = job.modules.reduce((sum, { outFeatures, rank }) => sum + outFeatures * rank, 0)
    expect(file.length - file.indexOf("\n") - 1).toBe(3 * 4 * values) // param, m and v of f32
    const resumed = await trainOn(job, smallData(5))
    expect(resumed.resumedFromStep).toBe(3)
    expect(resumed.adapter).toEqual(await train({ freezeA: true }))
  } finally {
    await rm(folder, { recursive: true })
  }
})
