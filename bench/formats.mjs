// What unpacking costs: y = x W^T and dx = dy W of each weight format at one shape, against q8 in the same minute. One
// JSON line per format. `node bench/formats.mjs [--tokens 512] [--rows 1536] [--cols 768] [--threads 2]
// [--precision bf16] [--isa avx2] [--ms 300]`
import { createRequire } from "node:module"
import { parseArgs } from "node:util"

import { allocateFrozen, frozenArrays, frozenBytes, quantize, QUANTIZED_TO, valuesOf } from "@lamina/kernels"

const require = createRequire(import.meta.url)
const addon = require("../packages/kernels/build/Release/lamina_kernels.node")
const { values: options } = parseArgs({
  options: {
    tokens: { type: "string", default: "512" },
    rows: { type: "string", default: "1536" },
    cols: { type: "string", default: "768" },
    threads: { type: "string", default: String(addon.processors()) },
    precision: { type: "string", default: "bf16" },
    isa: { type: "string" },
    ms: { type: "string", default: "300" },
  },
})
const [tokens, rows, cols, threads] = [options.tokens, options.rows, options.cols, options.threads].map(Number)
if (options.isa && !addon.setIsa(options.isa)) throw new Error(`no ${options.isa} here: ${addon.isas().join(", ")}`)
addon.setThreads(threads)

const FORMATS = ["f32", "bf16", "q8", "q4", "f16", "q5", "q4k", "q5k", "q6k", "nf4"]
const floats = (length) => Float32Array.from({ length }, (_, i) => Math.sin(i * 0.37) * 0.5)

function weightOf(format) {
  if (QUANTIZED_TO.includes(format)) return quantize({ rows, cols, values: floats(rows * cols) }, format)
  const weight = allocateFrozen(format, rows, cols)
  for (const { name, element } of frozenArrays(format, rows, cols))
    valuesOf(weight, name).forEach((_, i, values) => (values[i] = element === "F16" ? 0x1000 : (i * 37) % 31))
  return weight
}

const [x, dy] = [floats(tokens * cols), floats(tokens * rows)]
const [y, dx] = [new Float32Array(tokens * rows), new Float32Array(tokens * cols)]
const calls = FORMATS.map((format) => {
  const weight = weightOf(format)
  const arrays = ["scales", "mins", "superScales", "superMins", "offset"].map((name) => valuesOf(weight, name))
  const spread = [FORMATS.indexOf(format), rows, cols, weight.codes, ...arrays]
  const none = [0, undefined, undefined]
  const args = [tokens, options.precision === "bf16", ...spread, undefined, ...none, ...none, 1, 0, 0]
  return {
    format,
    bits: (8 * frozenBytes(weight)) / (rows * cols),
    forward: () => addon.linear(...args, x, undefined, y),
    backward: () => addon.linearGrad(...args, dy, x, undefined, dx, undefined, undefined),
    best: { forward: Infinity, backward: Infinity },
  }
})

// In turns, so that a slower minute is everybody's.
const end = performance.now() + Number(options.ms) * calls.length * 2
while (performance.now() < end)
  for (const call of calls)
    for (const way of ["forward", "backward"]) {
      const start = performance.now()
      if (call[way]() !== 0) throw new Error(`${call.format}: the kernel refused its arguments`)
      call.best[way] = Math.min(call.best[way], performance.now() - start)
    }
const q8 = calls.find(({ format }) => format === "q8").best
for (const { format, bits, best } of calls)
  console.log(
    JSON.stringify({
      name: `format ${format}`,
      isa: addon.isa(),
      precision: options.precision,
      tokens,
      rows,
      cols,
      threads,
      bitsPerWeight: Number(bits.toPrecision(3)),
      forwardMs: Number(best.forward.toPrecision(4)),
      backwardMs: Number(best.backward.toPrecision(4)),
      forwardToQ8: Number((best.forward / q8.forward).toPrecision(3)),
      backwardToQ8: Number((best.backward / q8.backward).toPrecision(3)),
    }),
  )
