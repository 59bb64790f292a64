import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { createTunerTrainer } from "@lamina/client"
import type { TrainedUpdate, Trainer, TrainingTask } from "@lamina/client"
import type { Adapter, Plan } from "@lamina/protocol"
import { createTunerPool, moduleShapes, readModelConfig } from "@lamina/tuner"
import type { TunerPool } from "@lamina/tuner"
import { initialA } from "@lamina/tuner/initial-factors"

/** Every field of a plan reaches the training of the default trainer, on the shipped base. */
const baseFolder = fileURLToPath(new URL("../../models/tiny", import.meta.url))
const TEXT = "The Congress shall assemble at least once in every year, and the people shall hear of its work. "

let folder: string
let pool: TunerPool
let trainer: Trainer
let modules: Plan["modules"]
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lamina-tuner-trainer-"))
  pool = await createTunerPool({ workers: 1, threads: 1 })
  trainer = createTunerTrainer({ pool, compute: "f32" })
  const shapes = moduleShapes(await readModelConfig(baseFolder), ["v_proj"]).slice(0, 1)
  modules = shapes.map((shape) => ({ ...shape, rank: 2, alpha: 4, startRank: 0 }))
})
afterAll(async () => {
  await pool.close()
  await rm(folder, { recursive: true, force: true })
})

let rounds = 0
async function train(plan: Partial<Plan>, start: Partial<TrainingTask> = {}): Promise<TrainedUpdate> {
  const round = ++rounds
  const whole: Plan = {
    ...({ modules, scaling: "lora", precision: "f32", schedule: "constant", lossOn: "all" } as const),
    ...{ dropout: 0, steps: 3, batch: 1, context: 16, accumulate: 1, learningRate: 1e-2, warmupSteps: 0, clipNorm: 1 },
    ...{ weightDecay: 0, seed: 5, downloadBytesMax: 0, proximal: 0, gradientCheckpointing: false, initSeed: 6 },
    ...{ freezeA: false, globalAdapterHash: new Uint8Array(0), reportScores: false, mergeGlobal: false, ...plan },
  }
  const task: TrainingTask = {
    ...{ runId: "run-1", round, plan: whole, baseFolder, globalAdapter: undefined },
    data: { kind: "documents", documents: [TEXT.repeat(4)] },
    workFolder: folder,
    ...start,
  }
  await rm(join(folder, "checkpoint"), { force: true })
  return trainer.train(task, { signal: new AbortController().signal, onProgress: () => undefined })
}

function adapterOf(bound: number): Adapter {
  const draw = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => bound * Math.sin(i + 1))
  return {
    modules: modules.map(({ name, outFeatures, inFeatures, rank, alpha }) => ({
      ...{ name, outFeatures, inFeatures, rank, alpha, scaling: "lora" },
      ...{ a: draw(rank * inFeatures), b: draw(outFeatures * rank) },
    })),
  }
}

test("initSeed and freezeA: A is the drawn one, and B is trained", async () => {
  const [{ name, inFeatures }] = modules as [Plan["modules"][number]]
  const { adapter, scores } = await train({ freezeA: true })
  expect(adapter.modules[0]?.a).toEqual(initialA({ seed: 6, name, rank: 2, inFeatures }))
  expect(adapter.modules[0]?.b.some((value) => value !== 0)).toBe(true)
  expect(scores).toBeUndefined()
})

test("initial, reportScores and proximal", async () => {
  const initial = adapterOf(0.05)
  const told = await train({ reportScores: true, freezeA: true }, { initial })
  expect(told.adapter.modules[0]?.a).toEqual(initial.modules[0]?.a)
  expect(told.scores).toEqual([{ name: modules[0]?.name, values: [expect.any(Number), expect.any(Number)] }])
  for (const value of told.scores?.[0]?.values ?? []) expect(value).toBeGreaterThan(0)
  const [free, pulled] = [await train({}, { initial }), await train({ proximal: 50 }, { initial })]
  expect(pulled.adapter).not.toEqual(free.adapter)
})

test("mergeGlobal gives the loss of the adapter beside the base, and is refused on a quantized one", async () => {
  const globalAdapter = adapterOf(0.3)
  const lossOf = async (mergeGlobal: boolean, start: Partial<TrainingTask>): Promise<number> =>
    (await train({ mergeGlobal }, start)).metrics.firstLoss ?? NaN
  const beside = await lossOf(false, { globalAdapter })
  // losses near 5, f32 sums of some hundred terms in another order
  expect(await lossOf(true, { globalAdapter })).toBeCloseTo(beside, 4)
  expect(Math.abs((await lossOf(false, {})) - beside)).toBeGreaterThan(0.01)
  await expect(train({ mergeGlobal: true, precision: "q8" }, { globalAdapter })).rejects.toMatchObject({
    code: "PLAN_UNSUPPORTED",
  })
})
