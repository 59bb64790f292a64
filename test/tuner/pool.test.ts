import { getEventListeners } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"

import { jest } from "@jest/globals"
import { initKernels, nativeAvailable } from "@lamina/kernels"
import { calibrate, createTunerPool, loadBase, moduleShapes, train } from "@lamina/tuner"
import type { Base, TrainingJob, TrainingProgress, TunerPool } from "@lamina/tuner"

const folder = fileURLToPath(new URL("../../models/tiny/", import.meta.url))
const backend = nativeAvailable() ? "native" : "cpu"
const text = "The state of the union is a long speech, and a short one is a better speech. ".repeat(20)

let base: Base
const pools: TunerPool[] = []
beforeAll(async () => {
  base = await loadBase(folder, { precision: "stored" })
})
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()))
})

async function pool(options: { workers?: number; threads?: number } = {}): Promise<TunerPool> {
  const created = await createTunerPool({ workers: 1, threads: 1, backend, ...options })
  pools.push(created)
  return created
}

/** A job of seconds even on the reference kernels: one layer trained, short rows. */
function job(settings: Partial<TrainingJob["settings"]> = {}): TrainingJob {
  const modules = moduleShapes(base.config, ["v_proj", "down_proj"])
    .filter(({ name }) => name.includes(".5."))
    .map((shape) => ({ ...shape, rank: 4, alpha: 8 }))
  return {
    ...{ base, modules, scaling: "lora", data: { kind: "documents", documents: [text] } },
    settings: {
      ...{ steps: 3, batch: 1, context: 8, accumulate: 1, learningRate: 1e-2, schedule: "linear", warmupSteps: 0 },
      ...{ clipNorm: 1, weightDecay: 0, lossOn: "all", dropout: 0.1, seed: 3, compute: "f32", ...settings },
    },
  }
}

const endless = (): TrainingJob => job({ steps: 1_000_000 })

/** Resolves with the first progress of a job that `start` begins, and the job's promise. */
function started(
  start: (onProgress: (progress: TrainingProgress) => void) => Promise<unknown>,
): Promise<{ ended: Promise<unknown> }> {
  return new Promise((resolve, reject) => {
    const ended = start(() => resolve({ ended }))
    ended.catch(reject)
  })
}

test("a pool gives the bytes of training in this thread, whatever its workers and threads", async () => {
  await initKernels({ backend, threads: 1 })
  const expected = (await train(job())).adapter
  const wide = await pool({ workers: 2, threads: 2 })
  const results = await Promise.all([wide.train(job()), wide.train(job()), (await pool()).train(job())])
  expect(expected.modules.every(({ b }) => b.some((value) => value !== 0))).toBe(true)
  for (const { adapter } of results) expect(adapter).toEqual(expected)
})

test("progress comes step by step while the caller's thread turns", async () => {
  let turns = 0
  let running = true
  const turn = (): void => {
    turns++
    if (running) setImmediate(turn)
  }
  setImmediate(turn)
  const seen: { progress: TrainingProgress; turns: number }[] = []
  const onProgress = (progress: TrainingProgress): void => void seen.push({ progress, turns })
  const result = await (await pool()).train(job(), { onProgress })
  running = false
  expect(seen.map(({ progress }) => progress.step)).toEqual([1, 2, 3])
  // linear without warm-up: 1e-2 · (3 - step) / 3
  expect(seen.map(({ progress }) => progress.learningRate)).toEqual(
    [0.01, 2 / 300, 1 / 300].map((rate) => expect.closeTo(rate, 12)),
  )
  expect(result).toMatchObject({
    steps: 3,
    dataExamples: 1,
    firstLoss: seen[0]?.progress.loss,
    lastLoss: seen[2]?.progress.loss,
  })
  expect(seen[0]?.turns).toBeGreaterThan(10)
})

test("an abort ends the running job with the signal's reason, and the worker takes the next", async () => {
  const one = await pool()
  const controller = new AbortController()
  const { ended } = await started((onProgress) => one.train(endless(), { onProgress, signal: controller.signal }))
  const next = one.train(job({ steps: 1 }))
  const reason = new Error("enough")
  controller.abort(reason)
  await expect(ended).rejects.toBe(reason)
  await expect(next).resolves.toMatchObject({ steps: 1 })
})

test("jobs that ended leave nothing behind on the signal they shared", async () => {
  const { signal } = new AbortController()
  const one = await pool()
  await Promise.all([1, 2, 3].map((seed) => one.train(job({ steps: 1, seed }), { signal })))
  expect(getEventListeners(signal, "abort")).toEqual([])
})

test("a job that waits leaves the queue at once when aborted", async () => {
  const one = await pool()
  const stop = new AbortController()
  const { ended } = await started((onProgress) => one.train(endless(), { onProgress, signal: stop.signal }))
  const waiting = new AbortController()
  const second = one.evaluate({ base, data: { kind: "documents", documents: [text] } }, { signal: waiting.signal })
  const reason = new Error("not needed")
  waiting.abort(reason)
  await expect(second).rejects.toBe(reason)
  stop.abort(new Error("end"))
  await expect(ended).rejects.toThrow("end")
})

test("errors keep their code across threads", async () => {
  const one = await pool()
  const folderless: Base = { ...base, folder: join(folder, "nowhere") }
  await expect(one.train({ ...job(), base: folderless })).rejects.toMatchObject({
    name: "LaminaError",
    code: "FILE_UNREADABLE",
  })
  const [module] = job().modules
  const modules = [{ ...(module as NonNullable<typeof module>), outFeatures: 7 }]
  await expect(one.train({ ...job(), modules })).rejects.toMatchObject({ code: "ADAPTER_MISMATCH" })
  await expect(one.train(job({ learningRate: 1e39, steps: 2 }))).rejects.toMatchObject({
    code: "TRAINING_DIVERGED",
    hint: expect.any(String),
  })
  await expect(one.train(undefined as never)).rejects.toMatchObject({ code: "INTERNAL" })
  await expect(one.evaluate({ base, data: (() => 0) as never })).rejects.toThrow(/could not be cloned/)
  await expect(one.train(job({ steps: 1 }))).resolves.toMatchObject({ steps: 1 })
})

test("a worker that dies fails its job with INTERNAL and is replaced", async () => {
  const posted = jest.spyOn(Worker.prototype, "postMessage") // the only way to a pool's threads from outside
  const one = await pool()
  const { ended } = await started((onProgress) => one.train(endless(), { onProgress }))
  const workers = posted.mock.contexts as Worker[]
  posted.mockRestore()
  expect(workers).toHaveLength(1)
  await workers[0]?.terminate()
  await expect(ended).rejects.toMatchObject({ code: "INTERNAL", message: "a worker thread ended with exit code 1" })
  await expect(one.train(job({ steps: 1 }))).resolves.toMatchObject({ steps: 1 })
})

test("a job killed between two steps goes on from its checkpoint, in another pool, to the same bytes", async () => {
  const scratch = await mkdtemp(join(tmpdir(), "lamina-pool-"))
  try {
    const settings = { steps: 6 }
    const whole = await (await pool()).train(job(settings))
    const checkpoint = { path: join(scratch, "state"), everySteps: 2 }
    const first = await pool()
    const killed = first.train(
      { ...job(settings), checkpoint },
      { onProgress: ({ step }) => step === 5 && void first.close() },
    )
    await expect(killed).rejects.toMatchObject({ code: "INTERNAL" })
    const resumed = await (await pool()).train({ ...job(settings), checkpoint })
    expect(resumed.resumedFromStep).toBeGreaterThanOrEqual(4)
    expect(resumed.adapter).toEqual(whole.adapter)
  } finally {
    await rm(scratch, { recursive: true })
  }
})

test("a closed pool takes no jobs and drops those it has", async () => {
  const one = await pool()
  const { ended } = await started((onProgress) => one.train(endless(), { onProgress }))
  const waiting = one.train(job())
  const outcomes = Promise.allSettled([ended, waiting])
  await one.close()
  for (const outcome of await outcomes)
    expect(outcome).toMatchObject({ status: "rejected", reason: { code: "INTERNAL" } })
  await expect(one.train(job())).rejects.toThrow("the pool was closed")
})

test("a pool says which kernels it runs and refuses counts below one", async () => {
  expect((await pool()).kernels).toMatch(backend === "native" ? /^native [a-z0-9]+$/ : /^reference cpu$/)
  await expect(createTunerPool({ workers: 0, threads: 1 })).rejects.toMatchObject({ code: "USAGE" })
  const reference = await createTunerPool({ workers: 1, threads: 1, backend: "cpu" })
  pools.push(reference)
  expect(reference.kernels).toBe("reference cpu")
})

test("calibration measures training and leaves the pool free", async () => {
  const one = await pool()
  const { kernels, tokensPerSecond, forwardTokensPerSecond } = await calibrate(base, one)
  expect(kernels).toBe(one.kernels)
  expect(tokensPerSecond).toBeGreaterThan(1)
  // a forward pass is a third of a step or so; the machine may be busy with something else in one of the two
  expect(forwardTokensPerSecond).toBeGreaterThan(tokensPerSecond / 2)
  await expect(one.train(job({ steps: 1 }))).resolves.toMatchObject({ steps: 1 })
  await expect(calibrate(base, one, { signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop")
})
