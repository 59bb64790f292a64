import { sampleToken } from "./sample-token.js"

/** softmax at temperature 1: 0.5, 0.25, 0.125, 0.0625, 0.0625. */
const halves = (): Float32Array => Float32Array.from([0.5, 0.25, 0.125, 0.0625, 0.0625], Math.log)
const none = new Set<number>()

/** How often each of five tokens is drawn in `count` draws, steps 0, 1, ... of one sequence. */
function shares(settings: Partial<Parameters<typeof sampleToken>[1]>, count = 4_000): number[] {
  const counts = [0, 0, 0, 0, 0]
  for (let step = 0; step < count; step++) {
    const id = sampleToken(halves(), { temperature: 1, seed: 7, ...settings }, { seen: none, sequence: 0, step })
    counts[id] = (counts[id] as number) + 1 / count
  }
  return counts
}

/** Four standard deviations of a share near p: 4·sqrt(p(1-p)/4000) <= 0.032; the seed is fixed, so it holds or not. */
const close = (got: readonly number[], expected: readonly number[]): void =>
  expected.forEach((share, id) =>
    share === 0 ? expect(got[id]).toBe(0) : expect(Math.abs((got[id] as number) - share)).toBeLessThan(0.032),
  )

test("at temperature 0 the best is taken, the lowest id of equals", () => {
  const scores = Float32Array.of(1, 3, 3, 2)
  expect(sampleToken(scores, { temperature: 0, seed: 0 }, { seen: none, sequence: 0, step: 0 })).toBe(1)
})

test("draws follow the probabilities, sharpened or flattened by the temperature", () => {
  close(shares({}), [0.5, 0.25, 0.125, 0.0625, 0.0625])
  // squares: 16, 4, 1, 1/4, 1/4 of 21.5
  close(shares({ temperature: 0.5 }), [16 / 21.5, 4 / 21.5, 1 / 21.5, 0.25 / 21.5, 0.25 / 21.5])
})

test("top-k keeps the k best, top-p the fewest that reach p, min-p those near the best", () => {
  close(shares({ topK: 2 }), [2 / 3, 1 / 3, 0, 0, 0])
  close(shares({ topP: 0.74 }), [2 / 3, 1 / 3, 0, 0, 0]) // 0.5 + 0.25 reach it
  close(shares({ topP: 0.76 }), [4 / 7, 2 / 7, 1 / 7, 0, 0])
  close(shares({ topP: 0.01 }), [1, 0, 0, 0, 0])
  close(shares({ minP: 0.24 }), [4 / 7, 2 / 7, 1 / 7, 0, 0]) // at least 0.12
  // of the three best (0.5, 0.25, 0.125 of 0.875) two reach 0.85; min-p then leaves one
  close(shares({ topK: 3, topP: 0.85 }), [2 / 3, 1 / 3, 0, 0, 0])
  close(shares({ topK: 3, topP: 0.85, minP: 0.6 }), [1, 0, 0, 0, 0])
  close(shares({ topK: 4 }), [8 / 15, 4 / 15, 2 / 15, 1 / 15, 0]) // of equals the lower id
})

test("the repetition penalty lowers scores of seen tokens, positive and negative ones", () => {
  const greedy = { temperature: 0, seed: 0, repetitionPenalty: 2 }
  const at = (ids: number[]) => ({ seen: new Set(ids), sequence: 0, step: 0 })
  expect(sampleToken(Float32Array.of(4, 3, 1), greedy, at([0]))).toBe(1) // 2, 3, 1
  expect(sampleToken(Float32Array.of(4, 3, 1), greedy, at([0, 1]))).toBe(0) // 2, 1.5, 1
  expect(sampleToken(Float32Array.of(-1, -1.5), greedy, at([0]))).toBe(1) // -2, -1.5
})

test("the draw is a function of seed, sequence and step", () => {
  const draws = (seed: number, sequence: number): number[] =>
    Array.from({ length: 40 }, (_, step) =>
      sampleToken(halves(), { temperature: 1, seed }, { seen: none, sequence, step }),
    )
  expect(draws(1, 0)).toEqual(draws(1, 0))
  expect(draws(1, 0)).not.toEqual(draws(2, 0))
  expect(draws(1, 0)).not.toEqual(draws(1, 1))
})

test("scores that are no numbers are an error, greedy or not", () => {
  for (const temperature of [0, 1])
    for (const scores of [
      [NaN, 1],
      [1, NaN],
      [1, Infinity],
    ])
      expect(() =>
        sampleToken(Float32Array.from(scores), { temperature, seed: 0 }, { seen: none, sequence: 0, step: 0 }),
      ).toThrow(expect.objectContaining({ code: "SCORES_NOT_FINITE" }))
})
