import { initKernels } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"
import * as tf from "@tensorflow/tfjs-core"

import type { TrainingSettings } from "../api.js"
import { joinRows } from "../data/batches.js"
import type { TokenDocument } from "../data/tokens.js"
import { threefry, uniformArray } from "../model/counter-random.js"
import { createDecoder, lossOf } from "../model/decoder.js"
import { initialAdapter } from "../model/lora.js"
import { allModules, randomBase } from "../model/testing/random-base.js"
import { relativeError } from "../model/testing/relative-error.js"
import { withGradients } from "./gradients.js"
import { createTrained } from "./optimizer.js"
import { trainingStep } from "./step.js"
import type { TrainingState } from "./step.js"

const SETTINGS: TrainingSettings = {
  ...{
    steps: 10,
    batch: 2,
    context: 24,
    accumulate: 1,
    learningRate: 1e-2,
    schedule: "constant",
    warmupSteps: 0,
    clipNorm: 1,
  },
  ...{ weightDecay: 0.01, lossOn: "all", dropout: 0, seed: 5, compute: "f32" },
}

const base = randomBase({ seed: 1, format: "q8" })

/** A model with every layer trained and B not zero, so that no gradient is zero by construction. */
function freshState(settings: Partial<TrainingSettings> = {}, linears = /_proj$/): TrainingState {
  const modules = allModules(base, { rank: 3, alpha: 6 }).filter(({ name }) => linears.test(name))
  const adapter = initialAdapter(base, { modules, scaling: "lora", seed: 9 })
  for (const [i, { b }] of adapter.modules.entries())
    b.set(uniformArray([9, i], { stream: 5, length: b.length, bound: 0.2 }))
  const model = createDecoder(base, { adapters: [], precision: "f32", positions: 64 })
  return { model, settings: { ...SETTINGS, ...settings }, adapter, trained: createTrained(adapter) }
}

function document(seed: number, length: number, lossFrom = 0): TokenDocument {
  const ids = Int32Array.from({ length }, (_, i) => threefry([seed, 3], [i, 0])[0] % 64)
  return { ids, predicted: new Uint8Array(length).fill(1, lossFrom) }
}

function gradientsOf(
  state: TrainingState,
  documents: readonly TokenDocument[],
): { loss: number; gradients: Float32Array[] } {
  const { model, adapter, settings } = state
  let result = { loss: NaN, gradients: [] as Float32Array[] }
  withGradients(
    { model, adapter, rows: joinRows([documents]), dropout: settings.dropout, seed: 1, pass: 0 },
    (loss, gradients) => {
      result = { loss, gradients: gradients.map((gradient) => gradient.slice()) }
    },
  )
  return result
}

function values(adapter: Adapter): Float32Array {
  return Float32Array.from(adapter.modules.flatMap(({ a, b }) => [...a, ...b]))
}

beforeAll(() => initKernels({ backend: "cpu" }))

test("gradients are the slope of the loss", () => {
  const state = freshState()
  const documents = [document(1, 9), document(2, 14)]
  const { gradients } = gradientsOf(state, documents)
  const direction = state.trained.map(({ param }, i) =>
    uniformArray([4, i], { stream: 0, length: param.length, bound: 1 }),
  )
  const slope = gradients.reduce(
    (sum, g, i) => sum + g.reduce((s, value, j) => s + value * (direction[i]?.[j] ?? NaN), 0),
    0,
  )
  const h = 2 ** -8
  const lossAt = (distance: number): number => {
    const moved = freshState()
    for (const [i, { param }] of moved.trained.entries())
      for (let j = 0; j < param.length; j++) param[j] = (param[j] ?? NaN) + distance * (direction[i]?.[j] ?? NaN)
    return gradientsOf(moved, documents).loss
  }
  // Central difference: f32 losses near 5 carry 5 · 2^-23 each, over 2h that is 1.5e-4; the third-order term at
  // h = 1/256 is smaller.
  expect(Math.abs((lossAt(h) - lossAt(-h)) / (2 * h) - slope)).toBeLessThan(5e-4 + 1e-2 * Math.abs(slope))
  expect(Math.abs(slope)).toBeGreaterThan(0.05)
})

test.each([
  ["v_proj of the last block", /1\.self_attn\.v_proj/],
  ["gate_proj of the first", /0\.mlp\.gate_proj/],
  ["q and down", /q_proj|down_proj/],
])("training %s alone gives the gradients it has when all are trained", (_name, some) => {
  const all = freshState()
  const few = freshState({}, some)
  for (const [i, module] of few.adapter.modules.entries()) {
    const twin = all.adapter.modules.find(({ name }) => name === module.name)
    twin?.b.set(module.b)
    expect(few.trained[2 * i]?.param).toBe(module.a)
  }
  for (const { name, b } of all.adapter.modules) if (!some.test(name)) b.fill(0)
  const documents = [document(3, 20)]
  const expected = gradientsOf(all, documents)
  const got = gradientsOf(few, documents)
  expect(got.loss).toBeCloseTo(expected.loss, 5)
  for (const [i, { name }] of few.adapter.modules.entries()) {
    const j = all.adapter.modules.findIndex((module) => module.name === name)
    for (const side of [0, 1]) {
      const [gradient, twin] = [got.gradients[2 * i + side], expected.gradients[2 * j + side]] as [
        Float32Array,
        Float32Array,
      ]
      expect(relativeError(gradient, twin)).toBeLessThan(1e-5) // the same sums, with or without exact zeros added
    }
  }
})

test("a packed row gives the token-weighted mean of its documents alone", () => {
  const state = freshState()
  const [first, second] = [document(1, 9), document(2, 15, 6)] // predict 8 and 9 tokens
  const [one, two, both] = [
    gradientsOf(state, [first]),
    gradientsOf(state, [second]),
    gradientsOf(state, [first, second]),
  ]
  expect(both.loss).toBeCloseTo((8 * one.loss + 9 * two.loss) / 17, 5)
  for (const [i, gradient] of both.gradients.entries()) {
    const expected = gradient.map(
      (_, j) => (8 * (one.gradients[i]?.[j] ?? NaN) + 9 * (two.gradients[i]?.[j] ?? NaN)) / 17,
    )
    expect(relativeError(gradient, expected)).toBeLessThan(1e-5) // two f32 sums of some hundred terms in another order
  }
})

test("accumulating micro-batches equals one larger batch, every predicted token weighing the same", () => {
  const rows = [[document(1, 9)], [document(2, 24, 17)], [document(3, 16)]]
  const whole = freshState()
  const parts = freshState({ accumulate: 3 })
  const wholeLoss = trainingStep(whole, [joinRows(rows)], 0)
  const partsLoss = trainingStep(
    parts,
    rows.map((row) => joinRows([row])),
    0,
  )
  expect(partsLoss).toBeCloseTo(wholeLoss, 5)
  // m is 0.1 · the clipped gradient: compared before AdamW's division turns rounding of tiny values into whole steps
  for (const [i, { m }] of parts.trained.entries())
    expect(relativeError(m, whole.trained[i]?.m ?? [])).toBeLessThan(1e-5)
})

test("clipping scales the whole gradient to the norm", () => {
  const [clipped, free] = [freshState({ clipNorm: 0.01 }), freshState({ clipNorm: 0 })]
  const batch = joinRows([[document(1, 20)]])
  trainingStep(clipped, [batch], 0)
  trainingStep(free, [batch], 0)
  const moments = (state: TrainingState): Float32Array => Float32Array.from(state.trained.flatMap(({ m }) => [...m]))
  const norm = Math.hypot(...moments(free)) / 0.1
  expect(norm).toBeGreaterThan(0.1)
  expect(Math.hypot(...moments(clipped)) / 0.1).toBeCloseTo(0.01, 5)
  expect(
    relativeError(
      moments(clipped),
      moments(free).map((value) => (value * 0.01) / norm),
    ),
  ).toBeLessThan(1e-4)
})

test("training lowers the loss of what it trains on, and the same seed gives the same bytes", () => {
  const run = (): { losses: number[]; result: Float32Array } => {
    const state = freshState({ dropout: 0.2 })
    const batch = joinRows([[document(1, 24)], [document(2, 24)]])
    const losses = Array.from({ length: 8 }, (_, step) => trainingStep(state, [batch], step))
    return { losses, result: values(state.adapter) }
  }
  const [first, second] = [run(), run()]
  expect(first.losses[7]).toBeLessThan((first.losses[0] ?? NaN) - 0.3)
  expect(second).toEqual(first)
})

test("dropout changes from step to step and only the trained branch", () => {
  const state = freshState({ dropout: 0.5, learningRate: 1e-30 })
  const batch = joinRows([[document(1, 24)]])
  const losses = [0, 1, 2].map((step) => trainingStep(state, [batch], step))
  expect(new Set(losses).size).toBe(3)
  const plain = tf.tidy(() => lossOf(state.model, batch).dataSync()[0] ?? NaN)
  for (const { b } of state.adapter.modules) b.fill(0)
  expect(trainingStep(state, [batch], 3)).toBeCloseTo(plain, 6)
})

test("a loss that is not finite stops training before anything is changed", () => {
  const state = freshState()
  state.adapter.modules[0]?.a.fill(NaN)
  const before = values(state.adapter)
  expect(() => trainingStep(state, [joinRows([[document(1, 9)]])], 4)).toThrow(
    expect.objectContaining({ code: "TRAINING_DIVERGED" }),
  )
  expect(values(state.adapter)).toEqual(before)
  expect(state.trained.every(({ m }) => m.every((value) => value === 0))).toBe(true)
})

test("gradient checkpointing gives the same factors to the bit, and holds fewer bytes at its peak", async () => {
  const documents = [document(1, 24), document(2, 24)]
  const peakOf = async (gradientCheckpointing: boolean): Promise<{ state: TrainingState; bytes: number }> => {
    const state = freshState({ gradientCheckpointing, dropout: 0.1 })
    const profile = await tf.profile(() => {
      trainingStep(state, [joinRows([documents])], 0)
      return tf.scalar(0)
    })
    return { state, bytes: profile.peakBytes }
  }
  const [kept, computed] = [await peakOf(false), await peakOf(true)]
  expect(computed.state.adapter).toEqual(kept.state.adapter)
  expect(computed.bytes).toBeLessThan(kept.bytes)
})

test("no tensor and no byte is left behind by a step", () => {
  const state = freshState({ dropout: 0.1, accumulate: 2 })
  const micro = [joinRows([[document(1, 9)]]), joinRows([[document(2, 12)]])]
  trainingStep(state, micro, 0)
  const before = tf.memory()
  for (let step = 1; step < 4; step++) trainingStep(state, micro, step)
  const { numTensors, numBytes, numDataBuffers } = tf.memory()
  expect({ numTensors, numBytes, numDataBuffers }).toEqual({
    numTensors: before.numTensors,
    numBytes: before.numBytes,
    numDataBuffers: before.numDataBuffers,
  })
})
