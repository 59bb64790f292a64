// npm run bench -- rounds [--clients N --bytes 1024|4194304 --rounds R] [--apart] [--peers] [--json]
//
// What a round costs beside training: the production coordinator and N production clients over loopback sockets in
// this one process (--apart: the coordinator in another, as where it serves), with a trainer that returns at once.
// Every update is sealed, signed, spooled, uploaded, opened, checked and aggregated, and everything is as durable as in
// service. Without --clients every size (of --bytes) takes its turn, each in a process of its own. Checked at the end:
// every update of every round was accepted, and the global adapter is the weighted sum of all of them.
// Strategy `flora`. 1 KiB: one module of 16 x 16, rank 8; 4 MiB: 128 modules of 4 x 4, rank 1024: little arithmetic per
// byte, so that the round is measured and not the algebra. The global adapter keeps the rank of the whole module, 16
// and 4, and so stays small and exact.
// Figures: time from the coordinator's start, its code loaded, to the opening of the first round and to its end, ms per
// client and round after the first (median), processor time and peak memory of everything together; --apart: how long
// node takes to load the code, too. Both ways take their turn without --clients.
// --peers: Flower's simulation beside it, same sizes (bench/peers/flower_rounds.py; PEERS_FLOWER_PYTHON names a Python
// with flwr[simulation]).
import { execFileSync, fork } from "node:child_process"
import { EventEmitter, once } from "node:events"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { availableParallelism, cpus, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

import { LaminaClient } from "@lamina/client"
import { decodeAdapter, scaleOf } from "@lamina/protocol"
import { startCoordinator } from "@lamina/server"

const { values: options } = parseArgs({
  options: {
    clients: { type: "string" },
    bytes: { type: "string" },
    rounds: { type: "string" },
    apart: { type: "boolean", default: false },
    peers: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    folder: { type: "string" },
  },
})
const root = fileURLToPath(new URL("..", import.meta.url))
const SIZES = {
  1024: { rank: 8, features: 16, modules: 1 },
  [4 << 20]: { rank: 1024, features: 4, modules: 128 },
}
/** Clients, bytes, rounds of the whole table: few clients need more rounds until their code is compiled. */
const TABLE = [
  [10, 1024, 20],
  [100, 1024, 10],
  [1000, 1024, 5],
  [10, 4 << 20, 20],
  [100, 4 << 20, 6],
  [1000, 4 << 20, 2],
]

const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim()
const machine = `${cpus()[0]?.model ?? "unknown"}, ${availableParallelism()} cores`

function report(name, value, unit) {
  const figure = { name, value: Number(value.toPrecision(4)), unit, machine, commit }
  const line = options.json ? JSON.stringify(figure) : `${name.padEnd(48)} ${figure.value} ${unit}`
  process.stdout.write(`${line}\n`)
}

function cpuMs() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

const median = (values) => [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)]

/** Client k: weight 1 + k mod 3, and the first A times 1 + k mod 7. */
const weightOf = (k) => 1 + (k % 3)
const factorOf = (k) => 1 + (k % 7)

/** xorshift32 into +-0.05. */
function seeded(length, seed) {
  let state = seed | 1
  return Float32Array.from({ length }, () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state / 2 ** 31) * 0.05
  })
}

function shapesOf({ modules, features }) {
  return Array.from({ length: modules }, (_, i) => {
    const name = `layers.${String(i).padStart(3, "0")}.proj`
    return { name, outFeatures: features, inFeatures: features }
  })
}

/** The seven adapters the clients share, modules as planned. */
function adaptersOf(size, alphaPerRank) {
  const { rank, features } = size
  const shapes = shapesOf(size).map((shape, i) => {
    const a = seeded(rank * features, 2 * i + 1)
    const b = seeded(features * rank, 2 * i + 2)
    return { ...shape, rank, alpha: alphaPerRank * rank, scaling: "lora", a, b }
  })
  return Array.from({ length: 7 }, (_, k) => ({
    modules: shapes.map((module) => ({ ...module, a: module.a.map((value) => value * factorOf(k)) })),
  }))
}

function trainerOf(adapter, k) {
  return {
    calibrate: async () => ({ kernels: "none", tokensPerSecond: 1000 }),
    close: async () => undefined,
    train: async () => ({ adapter, dataTokens: weightOf(k), dataExamples: 1, metrics: { loss: 1 } }),
  }
}

/** s B A (outFeatures x inFeatures) in f64. */
function dense({ outFeatures, inFeatures, rank, a, b, ...module }) {
  const scale = scaleOf({ rank, ...module })
  const out = new Float64Array(outFeatures * inFeatures)
  for (let i = 0; i < outFeatures; i++)
    for (let k = 0; k < rank; k++)
      for (let j = 0; j < inFeatures; j++) out[i * inFeatures + j] += scale * b[i * rank + k] * a[k * inFeatures + j]
  return out
}

/** Relative error of the global adapter against rounds x sum p_k s B A_k: A_k is the first A times factorOf(k). */
function errorOf(globalAdapter, first, { clients, rounds }) {
  const weights = Array.from({ length: clients }, (_, k) => weightOf(k))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const factor = (rounds * weights.reduce((sum, weight, k) => sum + weight * factorOf(k), 0)) / total
  let [distance, size] = [0, 0]
  for (const [i, module] of first.modules.entries()) {
    const [expected, got] = [dense(module), dense(globalAdapter.modules[i])]
    for (const [j, value] of expected.entries()) {
      distance += (got[j] - factor * value) ** 2
      size += (factor * value) ** 2
    }
  }
  return Math.sqrt(distance / size)
}

/** A coordinator's code is loaded in this process. */
async function loadHere() {
  return async (dataDir) => {
    const coordinator = await startCoordinator({ dataDir, port: 0, logLevel: "error" })
    return { ...coordinator, used: () => ({ processorMs: 0, peakKiB: 0 }) }
  }
}

/** The same in a process of its own; `used` says what that took since. */
async function loadApart() {
  const child = fork(fileURLToPath(new URL("rounds-coordinator.mjs", import.meta.url)))
  const events = new EventEmitter()
  const waiting = new Map()
  let asked = 0
  let used = { processorMs: 0, peakKiB: 0 }
  const [{ loadedProcessorMs }] = await once(child, "message")
  child.on("message", ({ event, processorMs, id, answer }) => {
    if (event === undefined) return waiting.get(id)?.(answer)
    used = { ...used, processorMs: processorMs - loadedProcessorMs }
    events.emit(event)
  })
  let closing = false
  child.once("exit", (status) => {
    if (closing) return
    process.stderr.write(`the coordinator ended with ${status}\n`)
    process.exit(1)
  })
  const ask = async (what, given) => {
    const id = asked++
    child.send({ id, ask: what, given })
    const answer = await new Promise((resolve) => waiting.set(id, resolve))
    waiting.delete(id)
    return answer
  }
  return async (dataDir) => ({
    ...{ url: await ask("start", dataDir), on: (name, listener) => events.on(name, listener), used: () => used },
    createRun: (request) => ask("createRun", request),
    run: (id) => ask("run", id),
    adapter: async (hash) => new Uint8Array(Buffer.from(await ask("adapter", hash), "base64")),
    close: async () => {
      used = await ask("used")
      closing = true
      await ask("close")
    },
  })
}

async function startRun(coordinator, folder, { clients, rounds, size }) {
  await mkdir(join(folder, "base"))
  await writeFile(join(folder, "base", "config.json"), `{"hidden_size": ${size.features}}`)
  await writeFile(join(folder, "base", "model.safetensors"), Buffer.alloc(10_000, 7))
  const recipe = {
    ...{ name: "rounds", base: ".", rounds, strategy: "flora" },
    lora: { rank: size.rank },
    cohort: { clients, quorum: 1, softDeadlineMs: 3_000_000, hardDeadlineMs: 3_000_000 },
    globalAdapter: { maxRank: size.features },
  }
  return coordinator.createRun({ recipe, base: { folder: join(folder, "base") }, modules: shapesOf(size) })
}

/** One run in this process: marks in ms since its start, processor time in ms. */
async function measure({ clients, rounds, size }, folder) {
  const adapters = adaptersOf(size, 2)
  const beganMs = performance.now()
  const startCoordinatorIn = await (options.apart ? loadApart : loadHere)()
  const startedMs = performance.now()
  const marks = { loadMs: startedMs - beganMs, opened: [], cpuOpened: [], published: [], cpu: [] }
  const startedCpuMs = cpuMs()
  const coordinator = await startCoordinatorIn(join(folder, "coordinator"))
  const allCpuMs = () => cpuMs() + coordinator.used().processorMs
  coordinator.on("roundOpened", () => {
    marks.opened.push(performance.now() - startedMs)
    marks.cpuOpened.push(allCpuMs() - startedCpuMs)
  })
  coordinator.on("roundPublished", () => {
    marks.published.push(performance.now() - startedMs)
    marks.cpu.push(allCpuMs())
  })
  const { id } = await startRun(coordinator, folder, { clients, rounds, size })
  const cacheDir = join(folder, "cache")
  const results = await Promise.all(
    Array.from({ length: clients }, async (_, k) => {
      const name = `c${String(k).padStart(4, "0")}`
      const client = new LaminaClient({
        ...{ coordinator: coordinator.url, name, workDir: join(folder, name), cacheDir },
        data: { kind: "documents", documents: [name] },
        trainer: trainerOf(adapters[k % 7], k),
        firstConnectMs: 120_000,
      })
      client.on("retrying", ({ what, error }) => process.stderr.write(`${name} ${what}: ${error.message}\n`))
      return client.participate()
    }),
  )
  const run = await coordinator.run(id)
  const globalAdapter = decodeAdapter(await coordinator.adapter(run.globalAdapterHash))
  await coordinator.close()
  const peakMiB = (process.resourceUsage().maxRSS + coordinator.used().peakKiB) / 1024
  return { marks, results, run, peakMiB, error: errorOf(globalAdapter, adapters[0], { clients, rounds }) }
}

/** Nothing is reported of a run that did less than it should. */
function check({ results, run, error }, { clients, rounds }) {
  const accepted = results.flatMap((result) => result.rounds).filter(({ outcome }) => outcome === "accepted").length
  const counted = run.rounds.reduce((sum, round) => sum + round.accepted, 0)
  if (run.state !== "done" || accepted !== clients * rounds || counted !== accepted)
    throw new Error(`expected ${clients * rounds} accepted updates, got ${accepted} receipts, ${counted} counted`)
  // f32 factors, rounded once a round: 2^-24 each, some tens for the sums behind them
  if (!(error < 1e-5))
    throw new Error(`the global adapter: expected the weighted sum, got a relative error of ${error}`)
}

async function one(clients, bytes, rounds) {
  const size = SIZES[bytes]
  if (!size) throw new Error(`--bytes: expected one of ${Object.keys(SIZES).join(", ")}, got ${bytes}`)
  const folder = await mkdtemp(join(options.folder ?? tmpdir(), "lamina-rounds-"))
  try {
    const measured = await measure({ clients, rounds, size }, folder)
    check(measured, { clients, rounds })
    const { loadMs, opened, cpuOpened, published, cpu } = measured.marks
    const each = bytes >= 1 << 20 ? `${bytes >> 20}MiB` : `${bytes >> 10}KiB`
    const name = `rounds${options.apart ? "-apart" : ""}/${clients}x${each}`
    const steps = (values) => values.slice(1).map((value, i) => (value - values[i]) / clients)
    if (options.apart) report(`${name}/loading-the-coordinator`, loadMs / 1000, "s")
    report(`${name}/start-to-first-round`, opened[0] / 1000, "s")
    report(`${name}/start-to-first-round-processor`, cpuOpened[0] / 1000, "s")
    report(`${name}/start-to-first-round-done`, published[0] / 1000, "s")
    if (rounds > 1) report(`${name}/per-client`, median(steps(published)), "ms")
    if (rounds > 1) report(`${name}/processor-per-client`, median(steps(cpu)), "ms")
    report(`${name}/peak-memory`, measured.peakMiB, "MiB")
    report(`${name}/global-adapter-error`, measured.error, "1")
  } finally {
    if (options.folder === undefined) await remove(folder)
  }
}

/** After a failure the other clients are still at work in there. */
async function remove(folder) {
  const options = { recursive: true, force: true, maxRetries: 5 }
  await rm(folder, options).catch((error) => process.stderr.write(`${error}\n`))
}

if (options.clients !== undefined) {
  await one(Number(options.clients), Number(options.bytes ?? 1024), Number(options.rounds ?? 5))
  process.exit()
}
// removed at the end: an ext4 without a journal looks at every inode of the last minutes' removals for each new file
const folder = await mkdtemp(join(tmpdir(), "lamina-rounds-"))
const table = TABLE.filter(([, bytes]) => options.bytes === undefined || bytes === Number(options.bytes))
for (const [clients, bytes, rounds] of table) {
  const sizes = ["--clients", String(clients), "--bytes", String(bytes), "--rounds", String(rounds)]
  for (const where of options.apart ? [["--apart"]] : [[], ["--apart"]]) {
    const all = [...sizes, ...where, "--folder", folder, ...(options.json ? ["--json"] : [])]
    execFileSync(process.execPath, [fileURLToPath(import.meta.url), ...all], { stdio: "inherit" })
  }
}
await remove(folder)
if (options.peers) {
  const { compareRounds } = await import("./peers/flower.mjs")
  compareRounds(table, report)
}
