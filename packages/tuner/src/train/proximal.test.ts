import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { initKernels } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"

import type { TrainingJob } from "../api.js"
import { createTrained, withProximal } from "./optimizer.js"
import type { Trained } from "./optimizer.js"
import { startOf } from "./start.js"
import { trainingStep } from "./step.js"
import { smallData, smallJob } from "./testing/small-job.js"
import { trainOn } from "./train.js"

beforeAll(() => initKernels({ backend: "cpu" }))

const train = async (settings: Partial<TrainingJob["settings"]>): Promise<Adapter> =>
  (await trainOn(smallJob(settings), smallData(5))).adapter

test("mu (w - w_start) is added to the gradient, which stays as it is", () => {
  const trained = { param: Float32Array.of(3, -1, 2), start: Float32Array.of(1, 1, 2) } as unknown as Trained
  const gradient = Float32Array.of(0.5, 0.5, 0.5)
  // 0.5 + 0.25 · (2, -2, 0)
  expect(withProximal([trained], [gradient], 0.25)).toEqual([Float32Array.of(1, 0, 0.5)])
  expect(gradient).toEqual(Float32Array.of(0.5, 0.5, 0.5))
})

test("without mu nothing is kept and no byte changes", async () => {
  expect(await train({ proximal: 0 })).toEqual(await train({}))
  const { adapter } = startOf(smallJob()).state
  expect(createTrained(adapter, { proximal: 0 }).every(({ start }) => start === undefined)).toBe(true)
})

test("a step away from the start is pulled back by mu times the way, before clipping", () => {
  const moments = (mu: number): { m: number[]; way: number[] } => {
    const settings = { proximal: mu, clipNorm: 0, dropout: 0, warmupSteps: 0, schedule: "constant" } as const
    const { state } = startOf(smallJob(settings))
    for (const { param } of state.trained) for (let i = 0; i < param.length; i++) param[i]! += 0.01 * Math.sin(i + 1)
    const way = state.trained.flatMap(({ param, start }) => (start ? [...param].map((w, i) => w - start[i]!) : []))
    const micro = [0, 1].map((i) => smallData(5).microBatch(i))
    trainingStep(state, micro, 0)
    return { m: state.trained.flatMap(({ m }) => [...m]), way }
  }
  const [free, pulled] = [moments(0), moments(0.5)]
  expect(pulled.way.some((way) => Math.abs(way) > 0.005)).toBe(true)
  // m of a first step is 0.1 g: two f32 roundings of values below 1
  for (const [i, m] of pulled.m.entries())
    expect(Math.abs(m - (free.m[i]! + 0.1 * 0.5 * pulled.way[i]!))).toBeLessThan(2 ** -23)
})

test("a strong pull keeps the factors near where the job started", async () => {
  const way = (adapter: Adapter): number => {
    const { adapter: start } = startOf(smallJob()).state
    const differences = adapter.modules.flatMap(({ a, b }, i) => {
      const { a: a0, b: b0 } = start.modules[i]!
      return [...a.map((value, j) => value - a0[j]!), ...b.map((value, j) => value - b0[j]!)]
    })
    return Math.hypot(...differences)
  }
  const free = { steps: 20, weightDecay: 0, clipNorm: 0 }
  expect(way(await train({ ...free, proximal: 100 }))).toBeLessThan(0.7 * way(await train(free)))
})

test("the pull is to where the job started, also after a resume", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lamina-proximal-"))
  try {
    const job = { ...smallJob({ proximal: 2 }), checkpoint: { path: join(folder, "state"), everySteps: 2 } }
    const stop = new AbortController()
    const onProgress = ({ step }: { step: number }): void => {
      if (step === 2) stop.abort(new Error("stopped here"))
    }
    await expect(trainOn(job, smallData(5), { signal: stop.signal, onProgress })).rejects.toThrow("stopped here")
    const resumed = await trainOn(job, smallData(5))
    expect(resumed.resumedFromStep).toBe(2)
    expect(resumed.adapter).toEqual(await train({ proximal: 2 }))
    expect(resumed.adapter).not.toEqual(await train({}))
  } finally {
    await rm(folder, { recursive: true })
  }
})
