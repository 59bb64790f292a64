// B3: each op of backend `native` against the machine's peak measured in the same minute, at the shapes of a 135M
// Llama (hidden 576, FFN 1536, 9 query and 3 key heads of 64, vocabulary 49152), q8 weights; "base" is the frozen
// product alone, "linear" the same with an adapter of rank 8. One JSON line per figure, and on stderr the share of one
// training step each op takes. npm run bench -- kernels [--tokens 512] [--threads 2] [--precision bf16] [--ms 200]
import { execFileSync } from "node:child_process"
import { createRequire } from "node:module"
import { cpus } from "node:os"
import { parseArgs } from "node:util"

const require = createRequire(import.meta.url)
const addon = require("../packages/kernels/build/Release/lamina_kernels.node")

const { values: options } = parseArgs({
  options: {
    tokens: { type: "string", default: "512" },
    threads: { type: "string", default: String(addon.processors()) },
    precision: { type: "string", default: "bf16" },
    isa: { type: "string" },
    ms: { type: "string", default: "200" },
  },
})
const tokens = Number(options.tokens)
const threads = Number(options.threads)
const precision = { f32: 0, bf16: 1, int8: 2 }[options.precision]
const layers = 30
const [hidden, ffn, vocabulary, heads, kvHeads, headDim, rank] = [576, 1536, 49152, 9, 3, 64, 8]
if (options.isa && !addon.setIsa(options.isa)) throw new Error(`no ${options.isa} here: ${addon.isas().join(", ")}`)
addon.setThreads(threads)

const floats = (length) => Float32Array.from({ length }, (_, i) => Math.sin(i * 0.37) * 0.5)
const q8 = (rows, cols) => {
  const codes = new Int8Array(rows * cols)
  for (let i = 0; i < codes.length; i++) codes[i] = ((i * 37) % 255) - 127
  return [2, rows, cols, codes, new Uint16Array((rows * cols) / 32).fill(0x1400), ...new Array(4)]
}

/** The best time of many, in ms: the machine is shared. */
function time(run) {
  if (run() !== 0) throw new Error("a kernel refused its arguments")
  let best = Infinity
  const end = performance.now() + Number(options.ms)
  while (performance.now() < end) {
    const start = performance.now()
    run()
    best = Math.min(best, performance.now() - start)
  }
  return best
}

const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim()
const machine = `${cpus()[0]?.model ?? "unknown"}, ${threads} threads`
const figure = (name, value, unit, rest = {}) => {
  const round = (number) => Number(number.toPrecision(4))
  const more = Object.fromEntries(Object.entries(rest).map(([key, number]) => [key, round(number)]))
  const line = { name: `kernels/${options.precision}/${name}`, value: round(value), unit, ...more, machine, commit }
  console.log(JSON.stringify(line))
}

/** GFLOP/s of the precision's own unit, measured now: neighbours of a shared machine come and go. */
function matrixPeakNow() {
  const { f32Fma, bf16Dot, bf16Amx, int8Dot } = addon.measurePeak(threads)
  return [f32Fma, Math.max(f32Fma, bf16Dot, bf16Amx), Math.max(f32Fma, int8Dot)][precision]
}
const peaks = []
/** GB/s of sums over arrays that no cache holds (STREAM's ADD). */
const memoryPeak = (() => {
  const [a, b, c] = [0, 0, 0].map(() => new Float32Array(2 ** 26).fill(1))
  return (12 * a.length) / time(() => addon.add(a, b, c)) / 1e6
})()
let stepMs = 0
const step = []

/**
 * A share is of the peak measured just before or after, the better one. `perStep`: how often a training step runs it;
 * 0: not at all.
 */
function report(name, { run, perStep, flops, bytes }) {
  const before = flops ? matrixPeakNow() : 0
  const ms = time(run)
  const matrixPeak = flops ? Math.max(before, matrixPeakNow()) : 0
  if (flops) peaks.push(matrixPeak)
  if (perStep > 0) step.push([name, ms * perStep])
  stepMs += ms * perStep
  if (flops) figure(name, flops / ms / 1e6, "GFLOP/s", { shareOfPeak: flops / ms / 1e6 / matrixPeak, ms })
  else figure(name, bytes / ms / 1e6, "GB/s", { shareOfMemory: bytes / ms / 1e6 / memoryPeak, ms })
}

function linear(name, rows, cols, count) {
  const weight = q8(rows, cols)
  const [x, dy, a, b] = [floats(tokens * cols), floats(tokens * rows), floats(rank * cols), floats(rows * rank)]
  const [y, dx, da, db] = [tokens * rows, tokens * cols, rank * cols, rows * rank].map(
    (length) => new Float32Array(length),
  )
  const args = [tokens, precision, ...weight, undefined, 0, undefined, undefined, rank, a, b, 2, 0, 1]
  const flops = 2 * tokens * rows * cols
  const base = [tokens, precision, ...weight, undefined, 0, undefined, undefined, 0, undefined, undefined, 0, 0, 0]
  const frozen = () => addon.linear(...base, x, undefined, y)
  report(`base ${name} ${cols}->${rows}`, { run: frozen, perStep: 0, flops })
  const frozenGrad = () => addon.linearGrad(...base, dy, x, undefined, dx, undefined, undefined)
  report(`base grad ${name} ${rows}->${cols}`, { run: frozenGrad, perStep: 0, flops })
  const forward = () => addon.linear(...args, x, undefined, y)
  report(`linear ${name} ${cols}->${rows}`, { run: forward, perStep: count * layers, flops })
  const grad = () => addon.linearGrad(...args, dy, x, undefined, dx, da, db)
  report(`linear grad ${name} ${rows}->${cols}`, { run: grad, perStep: count * layers, flops })
}

figure("memory", memoryPeak, "GB/s")
linear("q,o", hidden, hidden, 2)
linear("k,v", kvHeads * headDim, hidden, 2)
linear("gate,up", ffn, hidden, 2)
linear("down", hidden, ffn, 1)

{
  const [wide, narrow] = [heads * headDim, kvHeads * headDim]
  const [q, k, v, dy] = [floats(tokens * wide), floats(tokens * narrow), floats(tokens * narrow), floats(tokens * wide)]
  const [y, dq, dk, dv] = [q, q, k, v].map((like) => new Float32Array(like.length))
  const args = [tokens, heads, kvHeads, headDim, 0.125, precision !== 0, 2 ** 31 - 1, Int32Array.of(0, tokens)]
  // Half of the scores lie in the future: 2 products forward, 5 backward, of tokens^2 / 2 x headDim.
  const flops = (products) => products * tokens * tokens * headDim * heads
  report("attention", { run: () => addon.attention(...args, q, k, v, y), perStep: layers, flops: flops(2) })
  report("attention grad", {
    run: () => addon.attentionGrad(...args, dy, q, k, v, dq, dk, dv),
    perStep: layers,
    flops: flops(5),
  })
  const positions = Int32Array.from({ length: tokens }, (_, i) => i)
  const [cos, sin] = [floats((tokens * headDim) / 2), floats((tokens * headDim) / 2)]
  const rope = () => addon.rope(tokens, heads, headDim, tokens, q, positions, cos, sin, false, y)
  report("rope (9 heads)", { run: rope, perStep: layers * 2 * (1 + kvHeads / heads), bytes: 8 * q.length })
}

{
  const [x, dy, weight, y] = [
    floats(tokens * hidden),
    floats(tokens * hidden),
    floats(hidden),
    new Float32Array(tokens * hidden),
  ]
  report("rms_norm", {
    run: () => addon.rmsNorm(tokens, hidden, x, weight, 1e-5, y),
    perStep: 2 * layers,
    bytes: 8 * x.length,
  })
  const grad = () => addon.rmsNormGrad(tokens, hidden, dy, x, weight, 1e-5, undefined, y)
  report("rms_norm grad", { run: grad, perStep: 2 * layers, bytes: 12 * x.length })
  report("add", { run: () => addon.add(x, dy, y), perStep: 0, bytes: 12 * x.length })
  const [gate, up, d] = [floats(tokens * ffn), floats(tokens * ffn), floats(tokens * ffn)]
  const [dgate, dup] = [new Float32Array(gate.length), new Float32Array(gate.length)]
  const kept = new Float32Array(gate.length)
  const keep = () => addon.swigluKeep(gate, up, dup, kept)
  report("swiglu, kept", { run: keep, perStep: layers, bytes: 16 * gate.length })
  const again = () => addon.swigluOfKept(kept, dup)
  report("swiglu of kept", { run: again, perStep: layers, bytes: 8 * gate.length })
  const grad2 = () => addon.swigluGradOfKept(d, kept, dgate, dup)
  report("swiglu grad of kept", { run: grad2, perStep: layers, bytes: 16 * gate.length })
  const halves = new Float32Array(x.length / 2)
  const perStep = layers * (2 + (2 * kvHeads) / heads) // q, k, v and attended
  report("keep", { run: () => addon.halve(x, halves), perStep, bytes: 6 * x.length })
  report("kept", { run: () => addon.unhalve(y, halves), perStep, bytes: 6 * x.length })
}

{
  const table = q8(vocabulary, hidden)
  const [x, dx, loss] = [floats(tokens * hidden), new Float32Array(tokens * hidden), new Float32Array(1)]
  const targets = Int32Array.from({ length: tokens }, (_, i) => (i * 97) % vocabulary)
  const run = () => addon.lmHead(tokens, precision, ...table, x, targets, loss, dx)
  report("lm_head_cross_entropy with dx", { run, perStep: 1, flops: 4 * tokens * vocabulary * hidden })
  const ids = targets
  const y = new Float32Array(tokens * hidden)
  report("embedding", { run: () => addon.embedding(...table, ids, y), perStep: 1, bytes: 5 * y.length })
  const length = 2_442_240 // rank 8 on all seven linears of 30 layers
  const [p, g, m, v] = [0, 0, 0, 0].map(() => new Float32Array(length))
  report("adamw", {
    run: () => addon.adamw(p, g, m, v, 1e-3, 0.9, 0.999, 1e-8, 0, 1, 1),
    perStep: 1,
    bytes: 28 * length,
  })
}

const matrixPeak = peaks.sort((a, b) => a - b)[peaks.length >> 1]
figure("peak", matrixPeak, "GFLOP/s")
const gflops = (4 * 134.5e6 * tokens) / stepMs / 1e6
figure("sum over one step", gflops, "GFLOP/s", { shareOfPeak: gflops / matrixPeak, ms: stepMs, tokens })
for (const [name, ms] of step.sort((a, b) => b[1] - a[1]).slice(0, 12))
  console.error(`${name.padEnd(36)} ${ms.toFixed(1).padStart(8)} ms  ${((100 * ms) / stepMs).toFixed(1).padStart(5)} %`)
