import { createRequire } from "node:module"

import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "./init.js"
import type { BackendName } from "./init.js"
import { adamw } from "./ops/adamw.js"
import { cachedAttention } from "./ops/cached-attention.js"
import { causalAttention } from "./ops/causal-attention.js"
import { embedding } from "./ops/embedding.js"
import { gelu } from "./ops/gelu.js"
import { layerNorm } from "./ops/layer-norm.js"
import { lmHeadCrossEntropy, lmHeadScores } from "./ops/lm-head-cross-entropy.js"
import { quantLoraLinear } from "./ops/quant-lora-linear.js"
import { rmsNorm } from "./ops/rms-norm.js"
import { rope } from "./ops/rope.js"
import { runMany, runOne } from "./ops/run-kernel.js"
import { swiglu } from "./ops/swiglu.js"
import { expectClose } from "./testing/expect-close.js"
import { valuesOn } from "./testing/native.js"
import { randomFrozen } from "./testing/random-frozen.js"
import { seededRandom } from "./testing/random.js"
import { ropeTable } from "./testing/rope-table.js"

/** tfjs-node needs libtensorflow; scripts/tensorflow-backend.mjs builds it, and says where. */
function tensorflowHere(): boolean {
  try {
    createRequire(import.meta.url)("@tensorflow/tfjs-node")
    return true
  } catch {
    return false
  }
}

const random = seededRandom(4)
const [tokens, width, heads] = [13, 24, 4]
const x = random.floats(tokens * width)
const weight = randomFrozen("q8", 20, width, 1)
const vocabulary = randomFrozen("nf4", 50, width, 2)
const factors = { a: random.floats(3 * width), b: random.floats(20 * 3) }
const global = { rank: 2, a: random.floats(2 * width), b: random.floats(20 * 2) }
const ids = Int32Array.from({ length: tokens }, (_, i) => (i * 7) % 50)
const targets = ids.map((id, i) => (i % 4 === 1 ? -1 : id))
const offsets = Int32Array.of(0, 5, tokens)
const positions = Int32Array.from({ length: tokens }, (_, i) => (i < 5 ? i : i - 5))
const table = ropeTable({ positions: tokens, headDim: width / heads, theta: 10_000 })

const input = (): tf.Tensor2D => tf.tensor2d(x, [tokens, width])
/** Value and gradient by x of the sum of squares of what an op makes. */
const withGradient = (op: (x: tf.Tensor2D) => tf.Tensor) => (): tf.Tensor[] => {
  const { value, grad } = tf.valueAndGrad((at: tf.Tensor2D) => tf.sum(tf.mul(op(at), op(at))))(input())
  return [op(input()), value, grad]
}

const CASES: Record<string, () => tf.Tensor[]> = {
  rmsNorm: withGradient((at) => rmsNorm(at, { weight: factors.a.subarray(0, width), eps: 1e-5 })),
  layerNorm: withGradient((at) =>
    layerNorm(at, { weight: factors.a.subarray(0, width), bias: factors.b.subarray(0, width), eps: 1e-2 }),
  ),
  gelu: withGradient((at) => tf.add(gelu(at, { tanh: true }), gelu(at, { tanh: false }))),
  rope: withGradient((at) => rope(at, table, positions)),
  swiglu: withGradient((at) => swiglu(at, tf.add(at, at))),
  causalAttention: withGradient((at) =>
    causalAttention({ q: at, k: at, v: at }, { heads, kvHeads: heads, headDim: width / heads, offsets, scale: 0.4 }),
  ),
  quantLoraLinear: () => {
    const lora = { a: tf.tensor2d(factors.a, [3, width]), b: tf.tensor2d(factors.b, [20, 3]) }
    const run = (...[at, a, b]: tf.Tensor2D[]): tf.Tensor =>
      quantLoraLinear({ x: at!, weight, global, lora: { a: a!, b: b!, scale: 2, dropout: 0.1, dropoutSeed: 5 } })
    const loss = (...args: tf.Tensor[]): tf.Scalar => tf.sum(run(...(args as tf.Tensor2D[])))
    const { value, grads } = tf.valueAndGrads(loss)([input(), lora.a, lora.b])
    return [run(input(), lora.a, lora.b), value, ...grads]
  },
  "linears and norms that begin with what they are added to": () => {
    const [at, dy] = [input(), tf.tensor2d(x.subarray(0, tokens * 20), [tokens, 20])]
    const attrs = { weight, scale: 0, dropout: 0, dropoutSeed: 0, precision: "f32", needsDx: true }
    const norm = { weight: factors.a.subarray(0, width), bias: factors.b.subarray(0, width), eps: 1e-2 }
    return [
      quantLoraLinear({ x: at, weight, plus: dy }),
      tf.grad((plus: tf.Tensor) => quantLoraLinear({ x: at, weight, plus: plus as tf.Tensor2D }))(dy),
      ...runMany("QuantLoraLinearGrad", { dy, x: at, plus: at }, attrs),
      runOne("RmsNormGrad", { dy: at, x: at, plus: at }, norm),
      runOne("LayerNormGrad", { dy: at, x: at, plus: at }, norm),
    ]
  },
  "what waits for a gradient": () => {
    const at = input()
    const [product, first, second] = runMany("SwigluKeep", { gate: at, up: at }, { precision: "f32" })
    const kept = runOne("Keep", { x: at }, { precision: "f32" })
    return [
      product!,
      runOne("SwigluOfKept", { first, second }, {}),
      ...runMany("SwigluGradOfKept", { dy: at, first, second }, {}),
      runOne("Kept", { x: kept }, { precision: "f32", shape: [tokens, width] }),
    ]
  },
  cachedAttention: () => {
    const [keys, values] = [x.slice(), x.slice().reverse()]
    const q = tf.tensor2d(x.subarray(0, 2 * width), [2, width])
    const shape = { heads, kvHeads: heads, headDim: width / heads, scale: 0.4 }
    return [cachedAttention({ q, k: keys, v: values }, { past: tokens - 2, ...shape })]
  },
  embedding: () => [embedding({ ids, weight: vocabulary })],
  lmHeadCrossEntropy: () => {
    const { value, grad } = tf.valueAndGrad((at: tf.Tensor2D) =>
      lmHeadCrossEntropy({ x: at, weight: vocabulary, targets }),
    )(input())
    const { loss, accuracy } = lmHeadScores({ x: input(), weight: vocabulary, targets })
    return [value, grad, loss, accuracy]
  },
}

const BACKENDS: readonly [name: string, backend: BackendName][] = [
  ["backend native", "native"],
  ["backend wasm", "wasm"],
  [tensorflowHere() ? "backend tensorflow" : "backend tensorflow (skipped: tfjs-node is not here)", "tensorflow"],
]
describe.each(BACKENDS)("%s", (_name, backend) => {
  const runs = backend !== "tensorflow" || tensorflowHere()
  for (const [name, body] of Object.entries(CASES))
    (runs ? test : test.skip)(`computes ${name} and its gradients as cpu does`, async () => {
      const expected = await valuesOn({ backend: "cpu" }, body)
      const actual = await valuesOn({ backend }, body)
      expect(actual).toHaveLength(expected.length)
      // Sums of at most 24 · 13 products in another order: 312 · 2^-24 = 2e-5 of the largest value.
      for (const [i, values] of expected.entries()) expectClose(actual[i]!, values, { relative: 2e-5, absolute: 1e-6 })
    })

  ;(runs ? test : test.skip)("steps AdamW", async () => {
    await initKernels({ backend })
    const state = { param: Float32Array.of(1), m: new Float32Array(1), v: new Float32Array(1) }
    const settings = { learningRate: 0.1, beta1: 0.9, beta2: 0.999, eps: 0, weightDecay: 0, step: 1, gradScale: 1 }
    adamw({ ...state, grad: Float32Array.of(3), ...settings })
    // The first step is the learning rate, whatever the gradient. In f32, 1 - 0.999 is off by 2^-25 / 0.001 = 3e-5 of
    // itself, its root by half of that, times 0.1.
    expect(state.param[0]).toBeCloseTo(0.9, 5)
  })
})

;(tensorflowHere() ? test.skip : test)("a backend whose package is missing says what to install", async () => {
  await expect(initKernels({ backend: "tensorflow" })).rejects.toMatchObject({
    code: "KERNEL_UNAVAILABLE",
    message: expect.stringContaining("npm install @tensorflow/tfjs-node@4.22.0") as string,
  })
})
