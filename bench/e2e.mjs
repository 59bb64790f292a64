// Four strategies on a real model and a real task: SmolLM2-135M on E2E NLG, 10 clients of ranks 64 to 4, restaurants
// split by Dirichlet(0.5): `npm run bench -- e2e --data FOLDER --out FILE`. FOLDER holds the set's train.csv and
// test.csv (columns mr, ref; arXiv:1706.09254). Held-out loss after every other round, then ROUGE-L and BLEU of greedy
// answers to meaning representations of the test set, against all their references.
// Options: --rounds N --steps N --prompts N --seed N --only STRATEGY,... --folder FOLDER. A run that is there already
// is not run again: the benchmark goes on where it was stopped.
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"

import { stringify } from "yaml"

import { option } from "./data/option.mjs"

const rounds = Number(option("rounds", 4))
const steps = Number(option("steps", 8))
const prompts = Number(option("prompts", 60))
const seed = Number(option("seed", 1))
const only = option("only", "flora,fedit,zeropad,fedpipe").split(",")
const folder = resolve(option("folder", "runs/e2e"))
const data = resolve(option("data", "runs/e2e-data"))
const RANKS = [64, 32, 16, 16, 8, 8, 4, 4, 4, 4]

function recipeOf(strategy) {
  // fedit needs one rank: what the weakest affords
  const ranks = strategy === "fedit" ? [Math.min(...RANKS)] : RANKS
  return {
    name: "e2e",
    base: resolve("models/.cache"),
    rounds,
    seed,
    strategy,
    lora: { rank: Math.max(...ranks) },
    training: { steps, batch: 2, context: 256, learningRate: 0.001, schedule: "linear", lossOn: "response" },
    simulation: {
      population: {
        count: 10,
        data: { path: join(folder, "train.csv"), promptField: "mr", responseField: "ref" },
        partition: { kind: "dirichlet", alpha: 0.5, key: "mr:name\\[([^\\]]*)\\]" },
        rowsMax: 400,
        heldOutShare: 0.05,
        ranks,
      },
      scoreEvery: 2,
    },
  }
}

/** A file of the set, a line for each row; every meaning representation asks for words. */
function linesOf(name) {
  const [header, ...lines] = readFileSync(join(data, name), "utf8").trim().split("\n")
  return { header, lines: lines.map((line) => line.replace('",', '. In words: ",')) }
}

function writeFolder() {
  const [train, test] = [linesOf("train.csv"), linesOf("test.csv")]
  const meaning = (line) => line.slice(0, line.indexOf('",'))
  const all = [...new Set(test.lines.map(meaning))]
  // every so many meaning representations of the test set, with all their references
  const wanted = new Set(Array.from({ length: prompts }, (_, i) => all[Math.floor((i * all.length) / prompts)]))
  const asked = test.lines.filter((line) => wanted.has(meaning(line)))
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, "train.csv"), `${[train.header, ...train.lines].join("\n")}\n`)
  writeFileSync(join(folder, "prompts.csv"), `${[test.header, ...asked].join("\n")}\n`)
}

function lamina(...args) {
  const options = { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8", maxBuffer: 1 << 28 }
  return JSON.parse(execFileSync(process.execPath, ["apps/cli/bin/lamina.js", ...args, "--json"], options))
}

function kept(path, make) {
  if (!existsSync(path)) writeFileSync(path, JSON.stringify(make()))
  return JSON.parse(readFileSync(path, "utf8"))
}

function judged(name, adapter) {
  return kept(join(folder, `${name}-answers.json`), () =>
    lamina(
      ...["eval", resolve("models/.cache"), "--data", join(folder, "prompts.csv"), "--task", "generate"],
      ...["--max-tokens", "64", "--stop", "\n", "--precision", "q8", "--compute", "int8"],
      ...["--out", join(folder, `${name}-answers.jsonl`), ...(adapter === undefined ? [] : ["--adapter", adapter])],
    ),
  )
}

function run(strategy) {
  const { heldOut, bytesUp, bytesDown, virtualSeconds, strategyError, adapter } = kept(
    join(folder, `${strategy}.json`),
    () => {
      const recipe = join(folder, `${strategy}.yaml`)
      writeFileSync(recipe, stringify(recipeOf(strategy)))
      return lamina("simulate", recipe, "--out", join(folder, strategy))
    },
  )
  const { rougeL, bleu } = judged(strategy, adapter)
  const losses = heldOut.map(({ loss }) => loss)
  return { strategy, seed, losses, rougeL, bleu, bytesUp, bytesDown, virtualSeconds, strategyError }
}

writeFolder()
const { rougeL, bleu } = judged("base")
const rows = [{ strategy: "no training", losses: [], rougeL, bleu }]
process.stdout.write(`${JSON.stringify(rows[0])}\n`)
for (const strategy of only) {
  rows.push(run(strategy))
  process.stdout.write(`${JSON.stringify(rows.at(-1))}\n`)
}
process.stderr.write(
  "| strategy | held-out loss, round by round | ROUGE-L | BLEU | up, MB | down, MB | virtual time, s |\n",
)
process.stderr.write("|---|---|---|---|---|---|---|\n")
for (const { strategy, losses, ...row } of rows) {
  const traffic = [row.bytesUp, row.bytesDown].map((bytes) => ((bytes ?? 0) / 1e6).toFixed(0))
  const scores = [row.rougeL.toFixed(3), row.bleu.toFixed(1)]
  const cells = [strategy, losses.map((loss) => loss.toFixed(3)).join(", "), ...scores, ...traffic]
  process.stderr.write(`| ${cells.join(" | ")} | ${(row.virtualSeconds ?? 0).toFixed(0)} |\n`)
}
