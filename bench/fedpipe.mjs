// FedPipe against one plan for all, on a fleet of four kinds of device: `npm run bench -- fedpipe --out FILE`. One of
// them is ten times slower, one has a quarter of the memory. Virtual time to the loss that the uniform plan ends with,
// peak memory, late clients. Options: --rounds N --seeds N --folder FOLDER.
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"

import { stringify } from "yaml"

import { writeAddresses } from "./data/addresses.mjs"
import { option } from "./data/option.mjs"

const rounds = Number(option("rounds", 6))
const seeds = Number(option("seeds", 3))
const folder = resolve(option("folder", "runs/fedpipe"))
const MIB = 2 ** 20

const DEVICES = {
  workstation: { tokensPerSecond: 1_000, memoryBytes: 800 * MIB },
  laptop: { tokensPerSecond: 500, memoryBytes: 800 * MIB },
  // a tenth of the laptop's speed
  phone: { tokensPerSecond: 50, memoryBytes: 800 * MIB, uploadBytesPerSecond: 500e3, downloadBytesPerSecond: 2e6 },
  // a quarter of the memory
  board: { tokensPerSecond: 400, memoryBytes: 200 * MIB },
}
/** A round that waits for the slowest, and one that closes without who is late. */
const PATIENT = { quorum: 0.5, softDeadlineMs: 900_000, hardDeadlineMs: 900_000 }
const STRICT = { quorum: 0.5, softDeadlineMs: 45_000, hardDeadlineMs: 90_000 }
/**
 * What each run is called, how it plans, how long it waits, and how many rounds more it has: planned rounds are shorter
 * and the first is the probe, so that time decides. The first one's loss at the end is the target.
 */
const RUNS = {
  "one plan for all, strict": { strategy: "flora", cohort: STRICT },
  "one plan for all, patient": { strategy: "flora", cohort: PATIENT },
  fedpipe: { strategy: "fedpipe", cohort: STRICT, more: 3 },
}

function recipeOf({ more = 0, ...planning }, seed) {
  return {
    name: "fleet",
    base: resolve("models/tiny"),
    rounds: rounds + more,
    seed,
    ...planning,
    lora: { rank: 16 },
    training: { steps: 16, batch: 4, context: 256, learningRate: 0.004, schedule: "linear" },
    simulation: {
      population: {
        count: 8,
        data: { path: join(folder, "addresses.jsonl"), textField: "text" },
        partition: { kind: "natural", key: "president" },
        rowsMax: 60,
        devices: Object.keys(DEVICES),
      },
      devices: DEVICES,
    },
  }
}

/** Rounds of a run with the virtual time they closed at, what was lost in them, and the most memory anybody used. */
function simulate(name, seed) {
  const home = join(folder, `${Object.keys(RUNS).indexOf(name)}-${seed}`)
  if (!existsSync(join(home, "result.json"))) {
    const recipe = `${home}.yaml`
    writeFileSync(recipe, stringify(recipeOf(RUNS[name], seed)))
    const args = ["apps/cli/bin/lamina.js", "simulate", recipe, "--out", home, "--json"]
    execFileSync(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
  }
  const [run, ...lines] = readFileSync(join(home, "results.jsonl"), "utf8").trim().split("\n").map(JSON.parse)
  const turns = lines.flatMap(({ clients }) => clients)
  const lost = (outcome) => turns.filter((turn) => turn.outcome === outcome).length
  const closed = lines.filter(({ abandoned }) => !abandoned)
  return {
    losses: [run.base.loss, ...closed.map(({ heldOut }) => heldOut.loss)],
    closedMs: [0, ...closed.map(({ closedMs }) => closedMs)],
    turns: turns.length,
    late: lost("late"),
    outOfMemory: lost("out-of-memory"),
    peakBytes: Math.max(...turns.map(({ memoryBytes }) => memoryBytes)),
    bytesUp: lines.reduce((sum, { bytesUp }) => sum + bytesUp, 0),
  }
}

mkdirSync(folder, { recursive: true })
writeAddresses(join(folder, "addresses.jsonl"))
const rows = []
for (let seed = 1; seed <= seeds; seed++) {
  const runs = Object.keys(RUNS).map((name) => [name, simulate(name, seed)])
  const target = runs[0][1].losses.at(-1)
  for (const [name, { losses, closedMs, peakBytes, ...counts }] of runs) {
    const at = losses.findIndex((loss) => loss <= target)
    const secondsToTarget = at < 0 ? null : closedMs[at] / 1_000
    const figures = { firstLoss: losses[0], lastLoss: losses.at(-1), target, secondsToTarget }
    const row = { name, seed, ...figures, seconds: closedMs.at(-1) / 1_000, peakMib: peakBytes / MIB, ...counts }
    rows.push(row)
    process.stdout.write(`${JSON.stringify(row)}\n`)
  }
}
const show = (values) => values.map((value) => (value === null ? "never" : value.toFixed(0))).join(", ")
process.stderr.write(
  "| | held-out loss | seconds to the first one's loss | all rounds, s | peak memory, MiB | late | no memory |\n",
)
process.stderr.write("|---|---|---|---|---|---|---|\n")
for (const name of Object.keys(RUNS)) {
  const of = (key) => rows.filter((row) => row.name === name).map((row) => row[key])
  const loss = of("lastLoss")
    .map((value) => value.toFixed(3))
    .join(", ")
  const cells = [
    loss,
    show(of("secondsToTarget")),
    show(of("seconds")),
    show(of("peakMib")),
    show(of("late")),
    show(of("outOfMemory")),
  ]
  process.stderr.write(`| ${[name, ...cells].join(" | ")} |\n`)
}
