// Every strategy on the embedded base and the State of the Union addresses: `npm run bench -- strategies --out FILE`.
// 10 clients, presidents as natural keys and Dirichlet(0.5), rank 16 for all and ranks 64 to 4, several seeds.
// Options: --rounds N --steps N --seeds N or A,B,... --only STRATEGY,... --folder FOLDER. A run that is there already
// is not run again: the benchmark goes on where it was stopped.
import { execFile } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { promisify } from "node:util"

import { stringify } from "yaml"

import { STRATEGY_NAMES, STRATEGY_RULES } from "@lamina/protocol"

import { writeAddresses } from "./data/addresses.mjs"
import { option } from "./data/option.mjs"

const RANKS = { equal: [16], unequal: [64, 32, 16, 16, 8, 8, 4, 4, 4, 4] }
const PARTITIONS = {
  presidents: { kind: "natural", key: "president" },
  dirichlet: { kind: "dirichlet", alpha: 0.5, key: "president" },
}
const rounds = Number(option("rounds", 3))
const steps = Number(option("steps", 16))
const seeds = seedsOf(option("seeds", "3"))
const only = option("only", STRATEGY_NAMES.join(",")).split(",")
const folder = resolve(option("folder", "runs/strategies"))

function recipeOf({ strategy, partition, ranks, seed }) {
  // strategies that average A and B need one rank: what the weakest affords
  const own = STRATEGY_RULES[strategy].unequalRanks ? RANKS[ranks] : [Math.min(...RANKS[ranks])]
  return {
    name: "cell",
    base: resolve("models/tiny"),
    rounds,
    seed,
    strategy,
    lora: { rank: Math.max(...own) },
    training: { steps, batch: 2, context: 128, learningRate: 0.004, schedule: "linear" },
    simulation: {
      population: {
        count: 10,
        data: { path: join(folder, "addresses.jsonl"), textField: "text" },
        partition: PARTITIONS[partition],
        rowsMax: 60,
        ranks: own,
      },
      scoreEvery: rounds,
    },
  }
}

async function cell(setting) {
  const name = Object.values(setting).join("-")
  const recipe = join(folder, `${name}.yaml`)
  const done = join(folder, `${name}.json`)
  if (!existsSync(done)) {
    writeFileSync(recipe, stringify(recipeOf(setting)))
    const args = ["apps/cli/bin/lamina.js", "simulate", recipe, "--out", join(folder, name), "--json"]
    const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 1 << 26 })
    writeFileSync(done, stdout)
  }
  const { heldOut, bytesUp, bytesDown, virtualSeconds, strategyError, wallSeconds } = JSON.parse(
    readFileSync(done, "utf8"),
  )
  const [first, last] = [heldOut[0].loss, heldOut.at(-1).loss]
  const row = { ...setting, firstLoss: first, lastLoss: last, bytesUp, bytesDown, virtualSeconds, strategyError }
  process.stdout.write(`${JSON.stringify({ ...row, wallSeconds })}\n`)
  return row
}

mkdirSync(folder, { recursive: true })
writeAddresses(join(folder, "addresses.jsonl"))
const rows = []
for (const seed of seeds)
  for (const partition of Object.keys(PARTITIONS))
    for (const ranks of Object.keys(RANKS))
      for (const strategy of only) rows.push(await cell({ strategy, partition, ranks, seed }))

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length
const deviation = (values) => Math.sqrt(mean(values.map((value) => (value - mean(values)) ** 2)))
const groups = grouped(rows)
// seeds differ in their data, and more than strategies do: what counts is the difference within a seed
const reference = new Map(rows.filter(({ strategy }) => strategy === "flora").map((row) => [settingOf(row), row]))
process.stderr.write(
  "| clients | ranks | strategy | held-out loss | behind flora | up, MB | down, MB | virtual time, s | error |\n",
)
process.stderr.write("|---|---|---|---|---|---|---|---|---|\n")
for (const [group, cells] of groups) {
  const of = (key) => cells.map((each) => each[key])
  const loss = `${mean(of("lastLoss")).toFixed(3)} ± ${deviation(of("lastLoss")).toFixed(3)}`
  const behind = cells.map((each) => each.lastLoss - (reference.get(settingOf(each))?.lastLoss ?? NaN))
  const lead = `${mean(behind).toFixed(3)} ± ${deviation(behind).toFixed(3)}`
  const traffic = [mean(of("bytesUp")), mean(of("bytesDown"))].map((bytes) => (bytes / 1e6).toFixed(1))
  const time = mean(of("virtualSeconds")).toFixed(0)
  const error = Math.max(...of("strategyError")).toExponential(1)
  process.stderr.write(`| ${[group, loss, lead, ...traffic, time, error].join(" | ")} |\n`)
}

/** 3: 1, 2 and 3; "2," or "2,5": those. */
function seedsOf(text) {
  if (text.includes(",")) return text.split(",").filter(Boolean).map(Number)
  return Array.from({ length: Number(text) }, (_, i) => i + 1)
}

function settingOf({ partition, ranks, seed }) {
  return `${partition}-${ranks}-${seed}`
}

function grouped(all) {
  const map = new Map()
  for (const row of all) {
    const key = `${row.partition} | ${row.ranks} | ${row.strategy}`
    map.set(key, [...(map.get(key) ?? []), row])
  }
  return map
}
