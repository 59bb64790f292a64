import type { TrainingJob } from "../../api.js"
import { createBatches } from "../../data/batches.js"
import { packWindows } from "../../data/rows.js"
import type { TokenDocument } from "../../data/tokens.js"
import { threefry } from "../../model/counter-random.js"
import { allModules, randomBase } from "../../model/testing/random-base.js"
import type { TrainingData } from "../data.js"

/** One block of one key head on a vocabulary of 64. */
export const SMALL = { layers: 1, hidden: 16, heads: 2, kvHeads: 1, ffn: 16 }

const base = randomBase({ seed: 1, format: "q8", config: SMALL })
const documents = [0, 1, 2, 3, 4].map((seed) => ({
  ids: Int32Array.from({ length: 12 + seed }, (_, i) => threefry([seed, 3], [i, 0])[0] % 64),
  predicted: new Uint8Array(12 + seed).fill(1),
}))

/** Five steps of two micro-batches on every linear of a small q8 base; its data comes with `smallData`. */
export function smallJob(settings: Partial<TrainingJob["settings"]> = {}): TrainingJob {
  return {
    base,
    modules: allModules(base, { rank: 2, alpha: 4 }),
    scaling: "lora",
    data: { kind: "documents", documents: [] },
    settings: {
      ...{ steps: 5, batch: 2, context: 24, accumulate: 2, learningRate: 1e-2, schedule: "cosine", warmupSteps: 1 },
      ...{ clipNorm: 1, weightDecay: 0.1, lossOn: "all", dropout: 0.1, seed: 5, compute: "f32", ...settings },
    },
  }
}

/** Five documents of 12 to 16 tokens, packed. */
export function smallData(seed: number): TrainingData {
  const packed = packWindows(
    documents.map(({ ids }) => ids.length),
    { context: 24 },
  )
  const rows = packed.map((row) => row.map((index) => documents[index] as TokenDocument))
  return {
    ...{ tokens: 70, examples: 5, rows: rows.length, microBatch: createBatches({ rows, batch: 2, seed }) },
    identity: "five documents",
    close: () => undefined,
  }
}
