// B3: each op of backend `native` against the machine's peak measured in the same minute, at the shapes of a 135M
// Llama (hidden 576, FFN 1536, 9 query and 3 key heads of 64, vocabulary 49152), q8 weights, rank 8. One JSON line
// per figure, then the share of one training step each op takes. `node bench/kernels.mjs [--tokens 512] [--threads 2]
// [--precision bf16] [--ms 200]`
import { createRequire } from "node:module"
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

const peaks = addon.measurePeak(threads)
const matrixPeak = [peaks.f32Fma, Math.max(peaks.f32Fma, peaks.bf16Dot), Math.max(peaks.f32Fma, peaks.int8Dot)][
  precision
]
let stepMs = 0
const step = []

function report(name, { run, perStep, flops, bytes }) {
  const ms = time(run)
  stepMs += ms * perStep
  step.push([name, ms * perStep])
  const rate = flops
    ? { gflops: flops / ms / 1e6, ofPeak: flops / ms / 1e6 / matrixPeak }
    : { gbytes: bytes / ms / 1e6 }
  const rounded = Object.fromEntries(Object.entries(rate).map(([key, value]) => [key, Number(value.toPrecision(3))]))
  console.log(JSON.stringify({ name, tokens, threads, ms: Number(ms.toPrecision(4)), ...rounded }))
}

function linear(name, rows, cols, count) {
  const weight = q8(rows, cols)
  const [x, dy, a, b] = [floats(tokens * cols), floats(tokens * rows), floats(rank * cols), floats(rows * rank)]
  const [y, dx, da, db] = [tokens * rows, tokens * cols, rank * cols, rows * rank].map(
    (length) => new Float32Array(length),
  )
  const args = [tokens, precision, ...weight, undefined, 0, undefined, undefined, rank, a, b, 2, 0, 1]
  const flops = 2 * tokens * rows * cols
  report(`linear ${name} ${cols}->${rows}`, { run: () => addon.linear(...args, x, y), perStep: count * layers, flops })
  const grad = () => addon.linearGrad(...args, dy, x, dx, da, db)
  report(`linear grad ${name} ${rows}->${cols}`, { run: grad, perStep: count * layers, flops })
}

console.log(JSON.stringify({ name: "peak", threads, isa: addon.isa(), bf16: addon.bf16Family(), ...peaks }))
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
  const grad = () => addon.rmsNormGrad(tokens, hidden, dy, x, weight, 1e-5, y)
  report("rms_norm grad", { run: grad, perStep: 2 * layers, bytes: 12 * x.length })
  report("add", { run: () => addon.add(x, dy, y), perStep: 6 * layers, bytes: 12 * x.length })
  const [gate, up, d] = [floats(tokens * ffn), floats(tokens * ffn), floats(tokens * ffn)]
  const [dgate, dup] = [new Float32Array(gate.length), new Float32Array(gate.length)]
  report("swiglu", { run: () => addon.swiglu(gate, up, dup), perStep: layers, bytes: 12 * gate.length })
  report("swiglu grad", {
    run: () => addon.swigluGrad(d, gate, up, dgate, dup),
    perStep: layers,
    bytes: 20 * gate.length,
  })
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

const flopsPerToken = 4 * 134.5e6
const gflops = (flopsPerToken * tokens) / stepMs / 1e6
console.log(
  JSON.stringify({
    name: "sum over one step",
    tokens,
    stepMs: Math.round(stepMs),
    tokensPerSecond: Math.round((tokens / stepMs) * 1e3),
    gflops: Math.round(gflops),
    ofPeak: Number((gflops / matrixPeak).toPrecision(3)),
  }),
)
for (const [name, ms] of step.sort((a, b) => b[1] - a[1]).slice(0, 12))
  console.log(`${name.padEnd(36)} ${ms.toFixed(1).padStart(8)} ms  ${((100 * ms) / stepMs).toFixed(1).padStart(5)} %`)
