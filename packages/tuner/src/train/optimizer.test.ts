import { initKernels } from "@lamina/kernels"

import { clipFactor, createTrained, globalNorm, optimizerStep } from "./optimizer.js"

beforeAll(() => initKernels({ backend: "cpu" }))

test("globalNorm is over all arrays together", () => {
  // sqrt(1 + 4 + 4 + 16) = 5
  expect(globalNorm([Float32Array.of(1, -2), Float32Array.of(2), Float32Array.of(4)])).toBe(5)
  expect(globalNorm([Float32Array.of(1, NaN)])).toBeNaN()
})

test("clipFactor brings a long gradient to the norm and leaves a short one", () => {
  expect(clipFactor(5, 1)).toBeCloseTo(0.2, 6) // 1 / (5 + 1e-6), as torch has it
  expect(clipFactor(5, 1)).toBeLessThan(0.2)
  expect(clipFactor(0.5, 1)).toBe(1)
  expect(clipFactor(0, 1)).toBe(1)
  expect(clipFactor(5, 0)).toBe(1)
})

test("the first step moves every value by the learning rate against its gradient, after the decay", () => {
  const adapter = { modules: [{ a: Float32Array.of(1, 1), b: Float32Array.of(0, 2) }] }
  const trained = createTrained(adapter as never)
  optimizerStep(trained, [Float32Array.of(3, -0.1), Float32Array.of(0, 7)], {
    weightDecay: 0.5,
    learningRate: 0.1,
    gradScale: 0.5,
    step: 1,
  })
  // p · (1 - 0.1 · 0.5) - 0.1 · sign(g): after one step m / sqrt(v) is the sign, whatever the scale; zero gradients
  // only decay
  expect([...(adapter.modules[0]?.a ?? [])]).toEqual([expect.closeTo(0.85, 6), expect.closeTo(1.05, 6)])
  expect([...(adapter.modules[0]?.b ?? [])]).toEqual([0, expect.closeTo(1.8, 6)])
  expect(trained[0]?.m[0]).toBeCloseTo(0.1 * 1.5, 6)
  expect(trained[0]?.v[0]).toBeCloseTo(0.001 * 2.25, 8)
})
