// npm run bench -- train --peers [--json] [--turns 4]: LoRA training of the 135M shape at 4 x 512, Lamina against
// PyTorch + PEFT in one session. Every setting of both sides takes a turn in each round, one at a time; figures are
// medians over all their steps. The peer's best setting is everything in bf16 (adapters and moments too), compiled,
// eager attention, tcmalloc where it is installed; its default is f32. Lamina keeps adapters and moments in f32.
import { execFileSync } from "node:child_process"
import { availableParallelism, cpus } from "node:os"
import { fileURLToPath } from "node:url"

import { startPeer } from "./peer.mjs"

const trainBench = fileURLToPath(new URL("../train.mjs", import.meta.url))
const root = fileURLToPath(new URL("../..", import.meta.url))
const STEPS_PER_TURN = 3
const TOKENS = 4 * 512
/** FLOP of the frozen products per token: forward and the gradient of x over 134.5 M weights. */
const FLOP_PER_TOKEN = 4 * 134.5e6

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]

/** One run of bench/train.mjs in a process of its own; its figures by the last part of their names. */
function ours(args) {
  const output = execFileSync(process.execPath, [trainBench, "--shape", "135m", ...args], { encoding: "utf8" })
  const figures = {}
  for (const line of output.trim().split("\n")) {
    const { name, value } = JSON.parse(line)
    figures[name.startsWith("peak/") ? name : name.split("/").at(-1)] = value
  }
  return figures
}

/** Runs the whole comparison; `turns` rounds. */
export async function compareTraining({ turns, json }) {
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim()
  const machine = `${cpus()[0]?.model ?? "unknown"}, ${availableParallelism()} cores`
  const report = (name, value, unit) => {
    const figure = { name: `train.135m.${name}`, value: Number(value.toPrecision(4)), unit, machine, commit }
    process.stdout.write(json ? `${JSON.stringify(figure)}\n` : `${figure.name.padEnd(40)} ${figure.value} ${unit}\n`)
  }
  process.stderr.write("the peer warms up: torch.compile takes some minutes\n")
  const best = await startPeer(["--precision", "bf16", "--attention", "eager", "--compile"])
  const standard = await startPeer(["--precision", "f32", "--attention", "sdpa", "--warm", "1"])
  const speeds = { int8: [], bf16: [], f32: [], peft_best: [], peft_default: [] }
  const peaks = []
  const memory = {}
  for (let turn = 0; turn < turns; turn++) {
    for (const compute of ["int8", "bf16", "f32"]) {
      if (compute === "f32" && turn > 0) continue // not part of a ratio: one turn says it
      const figures = ours(["--batch", "4", "--compute", compute, "--steps", String(STEPS_PER_TURN)])
      speeds[compute].push(figures.median)
      if (compute === "bf16") peaks.push(figures["peak/bf16"] ?? figures["peak/f32"])
    }
    for (const [name, peer] of Object.entries({ peft_best: best, peft_default: standard })) {
      if (name === "peft_default" && turn > 1) continue
      const { seconds, peak_mib } = await peer.train(name === "peft_best" ? STEPS_PER_TURN : 1)
      speeds[name].push(...seconds.map((second) => TOKENS / second))
      memory[name] = peak_mib
    }
  }
  best.stop()
  standard.stop()
  const [int8, bf16, f32, peer, plain] = Object.values(speeds).map(median)
  const small = ours(["--batch", "1", "--compute", "int8", "--steps", "4"])
  report("tok_s", int8, "tokens/s")
  report("int8.tok_s", int8, "tokens/s")
  report("bf16.tok_s", bf16, "tokens/s")
  report("f32.tok_s", f32, "tokens/s")
  report("bf16_peak_gflops", median(peaks), "GFLOP/s")
  report("share_of_peak", (bf16 * FLOP_PER_TOKEN) / (median(peaks) * 1e9), "1")
  report("peft_best_tok_s", peer, "tokens/s")
  report("peft_default_tok_s", plain, "tokens/s")
  report("ratio_to_peft_best", int8 / peer, "1")
  report("bf16.ratio_to_peft_best", bf16 / peer, "1")
  report("ratio_to_peft_default", int8 / plain, "1")
  report("1x512.tok_s", small.median, "tokens/s")
  report("1x512.peak_memory_mib", small["peak-memory"], "MiB")
  report("peft_best_peak_memory_mib", memory.peft_best, "MiB")
  report("peft_default_peak_memory_mib", memory.peft_default, "MiB")
}
