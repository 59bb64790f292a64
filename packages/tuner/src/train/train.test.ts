import { initKernels } from "@lamina/kernels"

import type { TrainingJob } from "../api.js"
import { allModules, randomBase } from "../model/testing/random-base.js"
import { train } from "./train.js"

const base = randomBase({ seed: 1 })

function job(settings: Partial<TrainingJob["settings"]>): TrainingJob {
  return {
    base,
    modules: allModules(base, { rank: 2, alpha: 4 }),
    scaling: "lora",
    data: { kind: "documents", documents: ["x"] },
    settings: {
      ...{ steps: 5, batch: 2, context: 24, accumulate: 2, learningRate: 1e-2, schedule: "cosine", warmupSteps: 1 },
      ...{ clipNorm: 1, weightDecay: 0.1, lossOn: "all", dropout: 0.1, seed: 5, compute: "f32", ...settings },
    },
  }
}

beforeAll(() => initKernels({ backend: "cpu" }))

test.each([
  [{ steps: 0 }, "training.steps: expected a whole number of at least 1, got 0"],
  [{ batch: 1.5 }, "training.batch: expected a whole number of at least 1, got 1.5"],
  [{ context: 65 }, "training.context: expected 2..64, the model's context, got 65"],
  [{ dropout: 1 }, "training.dropout: expected 0 <= dropout < 1, got 1"],
  [
    { learningRate: NaN, seed: -1 },
    "training.learningRate: expected a positive number, got NaN\ntraining.seed: expected a uint32, got -1",
  ],
])("settings out of range are refused before anything is read: %j", async (settings, message) => {
  await expect(train(job(settings))).rejects.toMatchObject({ code: "RECIPE_INVALID", message })
})

test("a signal that is aborted already rejects with its reason", async () => {
  const reason = new Error("no more")
  await expect(train(job({}), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
})
