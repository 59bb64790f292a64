// npm run bench -- aggregate [--part compress|stack|strategies] [--clients 10,100] [--modules 64] [--repeats 3]
//   [--only STRATEGY,...] [--rank 160] [--max-rank 64]
//
// B4 at the q and v projections of LLaMA-7B, 64 modules of 4096 x 4096. `compress`: a stack of rank 160 to rank 64, all
// modules by the native kernels, and one module by each backend. `stack`: `flora` over updates of rank 8 (17 MB each),
// as bytes moved (each byte of an update is read once and written once) beside the memory bandwidth measured in the
// same process: a first round in fresh memory, and rounds in that of the one before. From 513 clients on, ranks sum to
// more than 4096 and are multiplied out: `--modules 16` keeps that short. `strategies`: a round of 10 clients by each
// of them. A process of its own per figure, so that its peak memory is its own. One JSON line per figure; a best of all
// repeats, with the processor time of that repeat: on a busy machine look at that.
import { execFileSync, spawnSync } from "node:child_process"
import { createRequire } from "node:module"
import { availableParallelism, cpus } from "node:os"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

import { compress, RoundMemory, STRATEGIES } from "@lamina/aggregation"
import { chooseLinalgBackend, nativeAvailable } from "@lamina/kernels/linalg"
import { STRATEGY_NAMES } from "@lamina/protocol"

const { values: options } = parseArgs({
  options: {
    part: { type: "string" },
    clients: { type: "string", default: "10,100" },
    modules: { type: "string", default: "64" },
    only: { type: "string" },
    repeats: { type: "string", default: "3" },
    rank: { type: "string", default: "160" },
    "max-rank": { type: "string", default: "64" },
  },
})
const [MODULES, WIDTH, CLIENT_RANK] = [Number(options.modules), 4096, 8]
const MIXED_RANKS = [64, 32, 16, 16, 8, 8, 4, 4, 4, 4]
const repeats = Number(options.repeats)
const root = fileURLToPath(new URL("..", import.meta.url))
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim()
const machine = `${cpus()[0]?.model ?? "unknown"}, ${availableParallelism()} cores`

function report(name, value, unit, rest = {}) {
  const round = (number) => Number(number.toPrecision(4))
  const more = Object.fromEntries(Object.entries(rest).map(([key, number]) => [key, round(number)]))
  const line = { name: `aggregate/${name}`, value: round(value), unit, ...more, machine, commit }
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

const peakMiB = () => process.resourceUsage().maxRSS / 1024

/** The fastest of `repeats`, in seconds of the clock and of the processors. */
function time(run, count = repeats) {
  let best = { seconds: Infinity, processorSeconds: Infinity }
  for (let i = 0; i < count; i++) {
    const before = process.cpuUsage()
    const start = performance.now()
    run()
    const seconds = (performance.now() - start) / 1e3
    const { user, system } = process.cpuUsage(before)
    if (seconds < best.seconds) best = { seconds, processorSeconds: (user + system) / 1e6 }
  }
  return best
}

/** Uniform values in -1..1 (xorshift32). */
function values(length, seed) {
  const all = new Float32Array(length)
  let state = seed
  for (let i = 0; i < length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    all[i] = state / 2 ** 31
  }
  return all
}

/** The q and v projections of a 7B adapter; `kinds` sets of values serve all modules. */
function adapter(rank, kinds) {
  const factors = Array.from({ length: kinds }, (_, kind) => ({
    a: values(rank * WIDTH, 2 * kind + 1),
    b: values(WIDTH * rank, 2 * kind + 2),
  }))
  const modules = Array.from({ length: MODULES }, (_, i) => ({
    name: `model.layers.${String(i >> 1).padStart(2, "0")}.self_attn.${i % 2 === 0 ? "q_proj" : "v_proj"}`,
    ...{ outFeatures: WIDTH, inFeatures: WIDTH, rank, alpha: 2 * rank, scaling: "lora" },
    ...factors[i % kinds],
  }))
  return { modules }
}

function benchCompress() {
  const [rank, maxRank] = [Number(options.rank), Number(options["max-rank"])]
  const { modules } = adapter(rank, 8)
  const name = `compress/rank-${rank}-to-${maxRank}`
  const run = (some) => () => compress({ modules: some }, { tau: 0, maxRank })
  if (nativeAvailable()) {
    const { seconds, processorSeconds } = time(run(modules))
    report(`${name}/native/${MODULES}-modules`, seconds, "s", { processorSeconds, peakMiB: peakMiB() })
    const one = time(run(modules.slice(0, 1)), 10 * repeats)
    report(`${name}/native/1-module`, one.seconds, "s", { processorSeconds: one.processorSeconds })
  }
  chooseLinalgBackend("reference")
  const { seconds, processorSeconds } = time(run(modules.slice(0, 1)))
  report(`${name}/reference/1-module`, seconds, "s", { processorSeconds })
}

/** What recipes say by default. */
const SETTINGS = {
  ...{ alphaPerRank: 2, scaling: "lora", compress: { tau: 0 }, tau: 0.1, pruneTo: 1, combine: "stack" },
  serverOptimizer: { name: "none", learningRate: 1, beta1: 0.9, beta2: 0.99, tau: 1e-3 },
}

/** A first round of as many updates as there are clients, which take turns with those given. */
function aggregate(strategy, updates, clients, memory) {
  const ranks = updates.map(({ modules }) => Math.max(...modules.map(({ rank }) => rank)))
  const cohort = Array.from({ length: clients }, (_, k) => ({
    ...{ clientId: `client-${k}`, weight: 1 + k, rankMax: ranks[k % ranks.length] },
  }))
  const round = { settings: SETTINGS, global: undefined, state: undefined, clients: cohort, memory }
  const accumulator = STRATEGIES[strategy].accumulate(round)
  const sent = cohort.map((client, k) => ({ ...client, adapter: updates[k % updates.length] }))
  for (let from = 0; from < clients;) {
    const some = sent.slice(from, from + accumulator.atOnce(sent[from]))
    accumulator.add(...some)
    from += some.length
  }
  return accumulator.finish()
}

/** GB/s of sums over arrays that no cache holds (STREAM's ADD), as bench/kernels measures it. */
function memoryBandwidth() {
  const addon = createRequire(import.meta.url)("../packages/kernels/build/Release/lamina_kernels.node")
  const [a, b, c] = [0, 0, 0].map(() => new Float32Array(2 ** 25).fill(1))
  const { seconds } = time(() => addon.add(a, b, c), 20)
  return (12 * a.length) / seconds / 1e9
}

/**
 * Round after round as a coordinator's worker thread aggregates them (apps/server/src/worker/aggregate.ts): in memory
 * that the round before gave back, but for the first.
 */
function benchStack(clients) {
  const update = adapter(CLIENT_RANK, MODULES)
  const updateBytes = update.modules.reduce((sum, { a, b }) => sum + a.byteLength + b.byteLength, 0)
  const before = peakMiB()
  const memory = new RoundMemory(2 ** 31)
  const round = () => {
    aggregate("flora", [update], clients, memory)
    memory.release()
  }
  const [first, later] = [time(round, 1), time(round)]
  const peak = peakMiB()
  const bandwidth = nativeAvailable() ? memoryBandwidth() : NaN
  const reportStack = (name, { seconds, processorSeconds }) => {
    const moved = (2 * clients * updateBytes) / seconds / 1e9
    report(`stack/flora/${clients}-clients-${MODULES}-modules${name}`, moved, "GB/s", {
      ...{ seconds, processorSeconds, updateMB: updateBytes / 1e6 },
      ...(nativeAvailable() ? { memoryGBs: bandwidth, shareOfMemory: moved / bandwidth } : {}),
      ...{ peakMiB: peak, inputMiB: before },
    })
  }
  reportStack("/first-round", first)
  reportStack("", later)
}

/** One round of 10 clients; `ffa` needs one A for all, which these updates have in every strategy. */
function benchStrategy(cell) {
  const [strategy, ranks] = cell.split("/")
  const updates = (ranks === "mixed" ? MIXED_RANKS : [CLIENT_RANK]).map((rank) => adapter(rank, MODULES))
  const before = peakMiB()
  const { seconds, processorSeconds } = time(() => aggregate(strategy, updates, 10))
  report(`strategies/${strategy}/10-clients-${ranks}`, seconds, "s", {
    ...{ processorSeconds, peakMiB: peakMiB(), inputMiB: before },
  })
}

/** This benchmark with other options, in a process of its own. */
function apart(...args) {
  const shared = ["--repeats", options.repeats, "--modules", options.modules]
  const { status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...args, ...shared], {
    stdio: "inherit",
  })
  if (status !== 0) throw new Error(`aggregate ${args.join(" ")} ended with ${status}`)
}

const parts = options.part?.split(",") ?? ["compress", "stack", "strategies"]
const clients = options.clients.split(",")
const cells = options.only?.split(",") ?? [...STRATEGY_NAMES.map((name) => `${name}/rank-8`), "flora/mixed"]
if (parts.includes("compress")) benchCompress()
if (parts.includes("stack")) {
  if (parts.length === 1 && clients.length === 1) benchStack(Number(clients[0]))
  else for (const count of clients) apart("--part", "stack", "--clients", count)
}
if (parts.includes("strategies")) {
  if (parts.length === 1 && cells.length === 1) benchStrategy(cells[0])
  else for (const cell of cells) apart("--part", "strategies", "--only", cell)
}
