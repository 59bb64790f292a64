import { averageScores } from "./average-scores.js"

test("a module's score is the sum over its triplets over the gain of its rank, weighed by p_k", () => {
  const averaged = averageScores([
    { share: 0.25, scores: [{ name: "q", values: [1, 2, 1, 4] }] },
    {
      share: 0.5,
      scores: [
        { name: "q", values: [3, 1, 2, 0, 1, 1, 1, 1] },
        { name: "v", values: [0, 0, 0, 0, 0, 0, 0, 6] },
      ],
    },
    { share: 0.25, scores: [] },
  ])
  // gains: rank 4 1 - 1/sqrt(2), rank 8 1/2; q: (0.25 x 8 / gain(4) + 0.5 x 10 / 0.5) / 0.75, v: 6 / 0.5
  expect(averaged.get("q")).toBeCloseTo((2 / (1 - Math.SQRT1_2) + 10) / 0.75, 10)
  expect(averaged.get("v")).toBeCloseTo(12, 10)
  expect([...averaged.keys()]).toEqual(["q", "v"])
})

test("a client of share 0 and a module without triplets say nothing", () => {
  const averaged = averageScores([
    { share: 0, scores: [{ name: "q", values: [9] }] },
    { share: 1, scores: [{ name: "v", values: [] }] },
  ])
  expect(averaged.size).toBe(0)
})

test.each([
  ["a negative score", { share: 1, scores: [{ name: "q", values: [1, -1] }] }],
  ["an infinite score", { share: 1, scores: [{ name: "q", values: [Infinity] }] }],
  ["a share that is no number", { share: NaN, scores: [] }],
])("%s is SCORES_NOT_FINITE", (_, report) => {
  expect(() => averageScores([report])).toThrow(expect.objectContaining({ code: "SCORES_NOT_FINITE" }))
})
