import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { initKernels } from "@lamina/kernels"

import type { TrainingJob, TrainingResult } from "../api.js"
import { randomBase } from "../model/testing/random-base.js"
import { loadCheckpoint, saveCheckpoint } from "./checkpoint.js"
import type { Trained } from "./optimizer.js"
import { SMALL, smallData, smallJob } from "./testing/small-job.js"
import { trainOn } from "./train.js"

let folder = ""
let path = ""
beforeAll(() => initKernels({ backend: "cpu" }))
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lamina-checkpoint-"))
  path = join(folder, "state")
})
afterEach(() => rm(folder, { recursive: true }))

function job(settings: Partial<TrainingJob["settings"]> = {}): TrainingJob {
  return { ...smallJob(settings), checkpoint: { path, everySteps: 2 } }
}

/** Trains until `step` steps are done and aborts there. */
async function trainUntil(step: number): Promise<void> {
  const controller = new AbortController()
  const onProgress = (progress: { step: number }): void => {
    if (progress.step === step) controller.abort(new Error("stopped here"))
  }
  await expect(trainOn(job(), smallData(5), { signal: controller.signal, onProgress })).rejects.toThrow("stopped here")
}

const outcome = ({ adapter, steps, firstLoss, lastLoss }: TrainingResult): object => ({
  ...{ adapter, steps, firstLoss, lastLoss },
})

test.each([1, 2, 3, 4])(
  "training stopped after step %i and resumed gives the bytes of uninterrupted training",
  async (step) => {
    const whole = await trainOn({ ...job(), checkpoint: undefined }, smallData(5))
    await trainUntil(step)
    const resumed = await trainOn(job(), smallData(5))
    expect(resumed.resumedFromStep).toBe(step) // an abort saves first
    expect(outcome(resumed)).toEqual(outcome(whole))
    expect(whole.resumedFromStep).toBe(0)
  },
)

test("a finished job is not trained again", async () => {
  const first = await trainOn(job(), smallData(5))
  const steps: number[] = []
  const again = await trainOn(job(), smallData(5), { onProgress: ({ step }) => steps.push(step) })
  expect(steps).toEqual([])
  expect(again.resumedFromStep).toBe(5)
  expect(outcome(again)).toEqual(outcome(first))
  expect(await readdir(folder)).toEqual(["state"])
})

test("the checkpoint of another job is refused", async () => {
  await trainUntil(2)
  const refused = { code: "CHECKPOINT_MISMATCH", message: expect.stringContaining("expected job") }
  await expect(trainOn(job({ learningRate: 1e-3 }), smallData(5))).rejects.toMatchObject(refused)
  await expect(
    trainOn({ ...job(), base: randomBase({ seed: 2, format: "q8", config: SMALL }) }, smallData(5)),
  ).rejects.toMatchObject(refused)
  await expect(trainOn({ ...job(), scaling: "rslora" }, smallData(5))).rejects.toMatchObject(refused)
  await expect(trainOn(job({ freezeA: true }), smallData(5))).rejects.toMatchObject(refused)
  await expect(trainOn(job({ initSeed: 6 }), smallData(5))).rejects.toMatchObject(refused)
  const other = { ...smallData(5), identity: "another document" }
  await expect(trainOn(job(), other)).rejects.toMatchObject(refused)
})

test("a damaged or cut checkpoint is refused and loads nothing", async () => {
  const trained: Trained[] = [{ param: Float32Array.of(1, 2), m: Float32Array.of(3, 4), v: Float32Array.of(5, 6) }]
  const state = { step: 7, firstLoss: 2.5, lastLoss: 1.5 }
  await saveCheckpoint(path, "f", state, trained)
  const good = await readFile(path)
  const blank = (): Trained[] => [{ param: new Float32Array(2), m: new Float32Array(2), v: new Float32Array(2) }]
  const target = blank()
  expect(await loadCheckpoint(path, "f", target)).toEqual(state)
  expect(target).toEqual(trained)
  const flipped = Buffer.from(good)
  flipped.writeUInt8(flipped.readUInt8(flipped.length - 3) ^ 1, flipped.length - 3)
  for (const bytes of [
    flipped,
    good.subarray(0, -1),
    good.subarray(0, 10),
    Buffer.alloc(0),
    Buffer.concat([good, good]),
  ]) {
    await writeFile(path, bytes)
    const untouched = blank()
    await expect(loadCheckpoint(path, "f", untouched)).rejects.toMatchObject({ code: "CHECKPOINT_MISMATCH" })
    expect(untouched).toEqual(blank())
  }
})

test("without a file there is nothing to resume", async () => {
  expect(await loadCheckpoint(path, "f", [])).toBeUndefined()
  await expect(loadCheckpoint(folder, "f", [])).rejects.toMatchObject({ code: "FILE_UNREADABLE" })
})
