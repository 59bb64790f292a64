// npm run bench -- train [--shape 135m|1.1b|tiny] [--batch B] [--context T] [--steps 8] [--compute bf16] [--threads N]
//                       [--contended] [--gradient-checkpointing] [--frozen-rank R]
//
// Tokens per second of LoRA training through the public API: a pool of one worker, forward, backward and AdamW.
// `135m` is a Llama of random q8 weights (hidden 576, 30 layers, 9 heads on 3, FFN 1536, vocabulary 49152, tied
// head), rank 8 on all seven linears, 1 x 512; `1.1b` is TinyLlama's shape in q4; `tiny` is models/tiny, rank 16,
// 8 x 256. One JSON line per figure.
// The shares of the measured peaks take 4 FLOP per weight and token: forward and the gradient of x. On a busy machine
// look at `per-core`: tokens per second of processor time, which other processes take nothing from. With --contended
// another process keeps one core busy. With --frozen-rank a global adapter of that rank on every linear lies frozen
// beneath what is trained. --peers: beside PyTorch + PEFT (bench/peers/compare.mjs).
import { execFileSync, spawn } from "node:child_process"
import { availableParallelism, cpus } from "node:os"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

import { describeKernels } from "@lamina/kernels"
import { createTunerPool, loadBase, moduleShapes } from "@lamina/tuner"

const { values: options } = parseArgs({
  options: {
    shape: { type: "string", default: "135m" },
    batch: { type: "string" },
    context: { type: "string" },
    steps: { type: "string", default: "8" },
    compute: { type: "string", default: "bf16" },
    threads: { type: "string", default: String(availableParallelism()) },
    contended: { type: "boolean", default: false },
    "gradient-checkpointing": { type: "boolean", default: false },
    "frozen-rank": { type: "string", default: "0" },
    peers: { type: "boolean", default: false },
    turns: { type: "string", default: "4" },
    json: { type: "boolean", default: false },
  },
})
if (options.peers) {
  const { compareTraining } = await import("./peers/compare.mjs")
  await compareTraining({ turns: Number(options.turns), json: options.json })
  process.exit()
}
const WARM_UP_STEPS = 2 // the first ones touch their memory for the first time
const root = fileURLToPath(new URL("..", import.meta.url))
const COMMON = { architecture: "llama", headDim: 64, context: 2048, normEps: 1e-5, rope: { theta: 10_000 } }
const SHAPE_135M = {
  ...COMMON,
  hidden: 576,
  layers: 30,
  heads: 9,
  kvHeads: 3,
  ffn: 1536,
  vocabulary: 49152,
  tiedHead: true,
}
const SHAPE_1B = {
  ...COMMON,
  hidden: 2048,
  layers: 22,
  heads: 32,
  kvHeads: 4,
  ffn: 5632,
  vocabulary: 32000,
  tiedHead: false,
}
const shapes = {
  "135m": { rank: 8, batch: 1, context: 512, base: () => randomBase(SHAPE_135M, "q8") },
  "1.1b": { rank: 8, batch: 1, context: 512, base: () => randomBase(SHAPE_1B, "q4") },
  tiny: { rank: 16, batch: 8, context: 256, base: () => loadBase(`${root}models/tiny`, { precision: "stored" }) },
}
const shape = shapes[options.shape]
if (!shape) throw new Error(`--shape: expected one of ${Object.keys(shapes).join(", ")}, got ${options.shape}`)

const frozenRank = Number(options["frozen-rank"])
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim()
const machine = `${cpus()[0]?.model ?? "unknown"}, ${availableParallelism()} cores`

function report(name, value, unit) {
  process.stdout.write(`${JSON.stringify({ name, value: Number(value.toPrecision(4)), unit, machine, commit })}\n`)
}

/** A Llama with values that cost no time to make; the folder is that of models/tiny, for its tokenizer. */
function randomBase(config, format) {
  const shapes = moduleShapes(config, ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
  const tables = ["model.embed_tokens", ...(config.tiedHead ? [] : ["lm_head"])].map((name) => ({
    ...{ name, outFeatures: config.vocabulary, inFeatures: config.hidden },
  }))
  const linears = Object.fromEntries(
    [...shapes, ...tables].map((module) => [module.name, randomWeight(module, format)]),
  )
  const norms = Object.fromEntries(
    [
      "model.norm",
      ...Array.from({ length: config.layers }, (_, i) => `model.layers.${i}`).flatMap((layer) => [
        `${layer}.input_layernorm`,
        `${layer}.post_attention_layernorm`,
      ]),
    ].map((name) => [name, new Float32Array(new SharedArrayBuffer(config.hidden * 4)).fill(1)]),
  )
  const bytes = Object.values(linears)
    .flatMap(({ codes, scales, mins }) => [codes, scales, mins])
    .reduce((sum, array) => sum + (array?.byteLength ?? 0), 0)
  return { folder: `${root}models/tiny`, config, precision: "stored", linears, norms, biases: {}, bytes }
}

/** Uniform codes (xorshift32) at a scale that keeps activations near 1: values up to 0.06. */
function randomWeight({ outFeatures: rows, inFeatures: cols }, format) {
  const memory = new SharedArrayBuffer(format === "q8" ? rows * cols : (rows * cols) / 2)
  const words = new Int32Array(memory)
  let state = rows * 7919 + cols
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[i] = state
  }
  /** The same f16 for all blocks of 32. */
  const perBlock = (bits) => new Uint16Array(new SharedArrayBuffer((rows * cols) / 16)).fill(bits)
  if (format === "q8") return { format, rows, cols, codes: new Int8Array(memory), scales: perBlock(0x1000) } // 2^-11
  return { format, rows, cols, codes: new Uint8Array(memory), scales: perBlock(0x2000), mins: perBlock(0xac00) } // 2^-7
}

/** Of values that change next to nothing. */
function frozenAdapter(modules) {
  const factor = (length) => {
    const values = new Float32Array(new SharedArrayBuffer(4 * length)) // as clients hold what they downloaded
    for (let i = 0; i < length; i++) values[i] = ((i * 7919) % 17) * 1e-6
    return values
  }
  const frozen = modules.map((module) => ({
    ...{ ...module, rank: frozenRank, alpha: frozenRank, scaling: "lora" },
    ...{ a: factor(frozenRank * module.inFeatures), b: factor(module.outFeatures * frozenRank) },
  }))
  return { modules: frozen }
}

function trainingJob(base) {
  const steps = Number(options.steps) + WARM_UP_STEPS
  const targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
  const modules = moduleShapes(base.config, targets).map((module) => ({
    ...module,
    rank: shape.rank,
    alpha: 2 * shape.rank,
  }))
  const [batch, context] = [Number(options.batch ?? shape.batch), Number(options.context ?? shape.context)]
  const text = "the people of the united states and their representatives in congress assembled ".repeat(
    batch * context,
  )
  return {
    ...{ base, modules, scaling: "lora", data: { kind: "documents", documents: [text] } },
    ...(frozenRank > 0 ? { globalAdapter: frozenAdapter(modules) } : {}),
    settings: {
      ...{ steps, batch, context, accumulate: 1, learningRate: 1e-4, schedule: "constant", warmupSteps: 0 },
      ...{ clipNorm: 1, weightDecay: 0, lossOn: "all", dropout: 0, seed: 1, compute: options.compute },
      gradientCheckpointing: options["gradient-checkpointing"],
    },
  }
}

const median = (values) => [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)]

const base = await shape.base()
const before = describeKernels()
const pool = await createTunerPool({ workers: 1, threads: Number(options.threads) })
const rival = options.contended ? spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }) : undefined
try {
  const job = trainingJob(base)
  const speeds = []
  let warm
  const onProgress = ({ tokensPerSecond }) => {
    speeds.push(tokensPerSecond)
    if (speeds.length === WARM_UP_STEPS) warm = process.cpuUsage()
  }
  await pool.train(job, { onProgress })
  const { user, system } = process.cpuUsage(warm)
  const measured = speeds.slice(WARM_UP_STEPS)
  const { batch, context, compute } = job.settings
  const setting = `${options.shape}/${batch}x${context}/${compute}/${pool.kernels.replace(" ", "-")}`
  const checkpointing = options["gradient-checkpointing"] ? "/gradient-checkpointing" : ""
  const frozen = frozenRank > 0 ? `/frozen-${frozenRank}` : ""
  const name = `train/${setting}${frozen}${checkpointing}${rival ? "/contended" : ""}`
  report(`${name}/median`, median(measured), "tokens/s")
  report(`${name}/best`, Math.max(...measured), "tokens/s")
  const tokens = (speeds.length - WARM_UP_STEPS) * batch * context
  report(`${name}/per-core`, tokens / ((user + system) / 1e6), "tokens/s of processor time")
  report(`${name}/peak-memory`, process.resourceUsage().maxRSS / 1024, "MiB")
  report(`${name}/base`, base.bytes / 2 ** 20, "MiB")
  const kernels = [before, describeKernels()]
  if (kernels.every(({ native }) => native)) {
    const weights = Object.values(base.linears).reduce((sum, { rows, cols }) => sum + rows * cols, 0)
    // the higher of before and after: others only lower it
    const higher = (kind) => Math.max(...kernels.map(({ peak }) => peak[kind] ?? 0))
    // f32 multiply-add, the vector instructions' bf16 dot, and the best bf16 there is: AMX tiles where the CPU has them
    for (const [kind, label] of Object.entries({ f32: "f32", bf16Dot: "bf16-dot", bf16: "bf16" })) {
      const peak = higher(kind)
      if (peak === 0) continue
      report(`peak/${label}`, peak, "GFLOP/s")
      report(`${name}/share-of-${label}-peak`, (median(measured) * 4 * weights) / (peak * 1e9), "1")
    }
  }
} finally {
  rival?.kill()
  await pool.close()
}
