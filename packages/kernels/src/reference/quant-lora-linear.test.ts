import * as tf from "@tensorflow/tfjs-core"

import { dropMask } from "../drop-hash.js"
import { KernelError } from "../errors.js"
import type { FrozenFactors } from "../frozen.js"
import type { TargetFormat } from "../quantize.js"
import { initKernels } from "../init.js"
import { releaseUnclaimedGradients } from "../ops/gradient-group.js"
import { quantLoraLinear } from "../ops/quant-lora-linear.js"
import type { QuantLoraLinearArgs } from "../ops/quant-lora-linear.js"
import { dequantize } from "../dequantize.js"
import { quantize } from "../quantize.js"
import { centralDifference, dot } from "../testing/central-difference.js"
import { expectClose } from "../testing/expect-close.js"
import { seededRandom } from "../testing/random.js"

beforeAll(() => initKernels({ backend: "cpu" }))

// f32 sums of at most 70 terms, three products after one another: 3 · 70 · 2^-24 = 1.3e-5 of the largest value
const rounding = { relative: 2e-5, absolute: 1e-7 }

interface Case {
  readonly tokens: number
  readonly outFeatures: number
  readonly inFeatures: number
  readonly rank: number
  readonly format: TargetFormat
  readonly dropout: number
}

const sizes: Case[] = [
  { tokens: 1, outFeatures: 1, inFeatures: 1, rank: 1, format: "f32", dropout: 0 },
  { tokens: 3, outFeatures: 5, inFeatures: 33, rank: 2, format: "q8", dropout: 0 },
  { tokens: 4, outFeatures: 7, inFeatures: 15, rank: 3, format: "q4", dropout: 0.3 },
  { tokens: 2, outFeatures: 17, inFeatures: 70, rank: 8, format: "bf16", dropout: 0.5 },
  { tokens: 17, outFeatures: 16, inFeatures: 31, rank: 1, format: "q4", dropout: 0 },
]

function setUp(c: Case): Inputs {
  const random = seededRandom(c.tokens * 100 + c.inFeatures)
  const weight = quantize(
    { rows: c.outFeatures, cols: c.inFeatures, values: random.floats(c.outFeatures * c.inFeatures) },
    c.format,
  )
  return {
    weight,
    bias: random.floats(c.outFeatures),
    global: { rank: 2, a: random.floats(2 * c.inFeatures), b: random.floats(c.outFeatures * 2) },
    x: random.floats(c.tokens * c.inFeatures),
    a: random.floats(c.rank * c.inFeatures),
    b: random.floats(c.outFeatures * c.rank),
    dy: random.floats(c.tokens * c.outFeatures),
    scale: 1.75,
    seed: 99,
  }
}

interface Inputs {
  readonly weight: QuantLoraLinearArgs["weight"]
  readonly bias: Float32Array
  readonly global: FrozenFactors
  readonly x: ArrayLike<number>
  readonly a: ArrayLike<number>
  readonly b: ArrayLike<number>
  readonly dy: Float32Array
  readonly scale: number
  readonly seed: number
}

/**
 * The formula of kernel-args.ts element by element in f64: forms W + B_G·A_G and s·B·A, which the kernel never does.
 */
function oracle(c: Case, { weight, bias, global, x, a, b, scale, seed }: Inputs): Float64Array {
  const w = dequantize(weight)
  const mask = dropMask(seed, c.dropout, c.tokens * c.inFeatures)
  const y = new Float64Array(c.tokens * c.outFeatures)
  for (let t = 0; t < c.tokens; t++)
    for (let m = 0; m < c.outFeatures; m++) {
      let sum = bias[m]!
      for (let n = 0; n < c.inFeatures; n++) {
        let frozen = w[m * c.inFeatures + n]!
        for (let r = 0; r < global.rank; r++) frozen += global.b[m * global.rank + r]! * global.a[r * c.inFeatures + n]!
        let trained = 0
        for (let r = 0; r < c.rank; r++) trained += b[m * c.rank + r]! * a[r * c.inFeatures + n]!
        const at = t * c.inFeatures + n
        sum += (frozen + scale * trained * mask[at]!) * x[at]!
      }
      y[t * c.outFeatures + m] = sum
    }
  return y
}

function run(c: Case, i: Inputs, [x, a, b]: tf.Tensor[]): tf.Tensor2D {
  const lora = { a: a as tf.Tensor2D, b: b as tf.Tensor2D, scale: i.scale, dropout: c.dropout, dropoutSeed: i.seed }
  return quantLoraLinear({ x: x as tf.Tensor2D, weight: i.weight, bias: i.bias, global: i.global, lora })
}

function tensors(c: Case, { x, a, b }: Inputs): tf.Tensor2D[] {
  return [
    tf.tensor2d(x as Float32Array, [c.tokens, c.inFeatures]),
    tf.tensor2d(a as Float32Array, [c.rank, c.inFeatures]),
    tf.tensor2d(b as Float32Array, [c.outFeatures, c.rank]),
  ]
}

test.each(sizes)("forward and the gradients of x, A and B equal the f64 formula: %o", (c) => {
  const inputs = setUp(c)
  const before = tf.memory().numTensors
  const given = tensors(c, inputs)
  const y = run(c, inputs, given)
  expectClose(y.dataSync(), oracle(c, inputs), rounding)

  const gradients = tf.grads((...args: tf.Tensor[]) => run(c, inputs, args))(
    given,
    tf.tensor2d(inputs.dy, [c.tokens, c.outFeatures]),
  )
  for (const [index, name] of (["x", "a", "b"] as const).entries()) {
    const loss = (values: Float64Array): number => dot(oracle(c, { ...inputs, [name]: values }), inputs.dy)
    expectClose(gradients[index]!.dataSync(), centralDifference(loss, inputs[name]), rounding)
  }
  tf.dispose([y, ...given, ...gradients])
  expect(tf.memory().numTensors).toBe(before + 1) // dy, which was not disposed here
})

test("without an adapter only W, bias and the global term act, and dx is their transpose", () => {
  const c = sizes[1]!
  const inputs = { ...setUp(c), scale: 0 }
  const x = tf.tensor2d(inputs.x as Float32Array, [c.tokens, c.inFeatures])
  const { weight, bias, global } = inputs
  const frozen = (given: tf.Tensor): tf.Tensor2D => quantLoraLinear({ x: given as tf.Tensor2D, weight, bias, global })
  expectClose(frozen(x).dataSync(), oracle(c, inputs), rounding)
  const dx = tf.grad(frozen)(x, tf.tensor2d(inputs.dy, [c.tokens, c.outFeatures]))
  const loss = (values: Float64Array): number => dot(oracle(c, { ...inputs, x: values }), inputs.dy)
  expectClose(dx.dataSync(), centralDifference(loss, inputs.x), rounding)
})

test("dx is not computed where nothing before the layer is trained, and two layers leave no tensor", async () => {
  const c = { ...sizes[1]!, outFeatures: 33 } // square, so that the layer can follow itself
  const inputs = setUp(c)
  const [x, a, b] = tensors(c, inputs)
  const before = tf.memory().numTensors
  const loss = (a: tf.Tensor, b: tf.Tensor): tf.Tensor => {
    const first = run(c, inputs, [x!, a, b])
    return tf.sum(run(c, inputs, [first, a, b]))
  }
  const { kernels } = await tf.profile(() => tf.tidy(() => tf.grads(loss)([a!, b!])[0]!.dataSync()))
  const outputs = kernels.filter(({ name }) => name === "QuantLoraLinearGrad").map(({ outputShapes }) => outputShapes)
  const [dx, da, db] = [
    [3, 33],
    [2, 33],
    [33, 2],
  ]
  expect(outputs).toEqual([
    [dx, da, db], // second layer: its x depends on a and b
    [da, db], // first layer
  ])
  expect(tf.memory().numTensors).toBe(before)
})

test("gradients nobody claimed stay until they are released", () => {
  const c = sizes[1]!
  const inputs = setUp(c)
  const [x, a, b] = tensors(c, inputs)
  const before = tf.memory().numTensors
  tf.grad((x) => tf.sum(run(c, inputs, [x, a!, b!])))(x!).dispose() // a and b are inputs but not asked for
  expect(tf.memory().numTensors).toBe(before + 2)
  releaseUnclaimedGradients()
  expect(tf.memory().numTensors).toBe(before)
})

test("shapes that do not fit are refused with what, expected and got", () => {
  const c = sizes[1]!
  const inputs = setUp(c)
  const [x, a, b] = tensors(c, inputs)
  const { weight, bias, global } = inputs
  const refused = (change: Partial<QuantLoraLinearArgs>, message: string): void => {
    const call = (): unknown =>
      quantLoraLinear({ x: x!, weight, bias, global, lora: { a: a!, b: b!, scale: 1 }, ...change })
    expect(call).toThrow(KernelError)
    expect(call).toThrow(message)
  }
  refused({ x: tf.zeros([3, 32]) }, "x: expected (3, 33), got (3, 32)")
  refused({ bias: new Float32Array(4) }, "bias: expected 5, got 4")
  refused({ lora: { a: a!, b: tf.zeros([5, 3]), scale: 1 } }, "lora.b: expected (5, 2), got (5, 3)")
  refused({ lora: { a: a!, b: b!, scale: 1, dropout: 1 } }, "lora.dropout: expected 0 <= p < 1, got 1")
  refused({ global: { ...global, rank: 3 } }, "global.a: expected 99, got 66")
  refused({ weight: { ...weight, cols: 34 } }, "weight.codes (q8): expected 170, got 165")
})
