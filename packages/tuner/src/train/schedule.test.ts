import { learningRateAt } from "./schedule.js"

const rates = (schedule: "constant" | "linear" | "cosine", warmupSteps: number): number[] =>
  Array.from({ length: 10 }, (_, step) => learningRateAt(step, { schedule, warmupSteps, steps: 10, learningRate: 0.8 }))

test("without warm-up the first step has the full rate", () => {
  expect(rates("constant", 0)).toEqual(Array<number>(10).fill(0.8))
  expect(rates("linear", 0)[0]).toBe(0.8)
  expect(rates("cosine", 0)[0]).toBe(0.8)
})

test("warm-up rises linearly from zero and reaches the rate at step warmupSteps", () => {
  // 0.8 · step / 4
  expect(rates("constant", 4).slice(0, 5)).toEqual([0, 0.2, 0.4, expect.closeTo(0.6, 15), 0.8])
})

test("linear falls to zero at the step after the last", () => {
  // two steps of warm-up, then 0.8 · (10 - step) / 8
  expect(rates("linear", 2)).toEqual(
    [0, 0.4, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1].map((rate) => expect.closeTo(rate, 12)),
  )
})

test("cosine is half a cosine after the warm-up", () => {
  // 0.4 · (1 + cos(pi · (step - 2) / 8)): at a quarter, half and three quarters of the way cos is sqrt(1/2), 0,
  // -sqrt(1/2)
  const cosine = rates("cosine", 2)
  expect(cosine[2]).toBeCloseTo(0.8, 12)
  expect(cosine[4]).toBeCloseTo(0.4 * (1 + Math.SQRT1_2), 12)
  expect(cosine[6]).toBeCloseTo(0.4, 12)
  expect(cosine[8]).toBeCloseTo(0.4 * (1 - Math.SQRT1_2), 12)
})
