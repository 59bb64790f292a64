import { averageScores } from "./average-scores.js"

const NOTHING = new Map<string, number>()
const one = (scores: Record<string, number>, share = 1) => ({
  share,
  scores: Object.entries(scores).map(([name, value]) => ({ name, values: [value] })),
})

test("a module's score is the sum over its triplets over the gain of its rank, weighed by p_k", () => {
  const averaged = averageScores(
    [
      { share: 0.25, scores: [{ name: "q", values: [1, 2, 1, 4] }] },
      {
        share: 0.5,
        scores: [
          { name: "q", values: [3, 1, 2, 0, 1, 1, 1, 1] },
          { name: "v", values: [0, 0, 0, 0, 0, 0, 0, 6] },
        ],
      },
      { share: 0.25, scores: [] },
    ],
    NOTHING,
  )
  // gains: rank 4 1 - 1/sqrt(2), rank 8 1/2; q: (0.25 x 8 / gain(4) + 0.5 x 10 / 0.5) / 0.75, v: 6 / 0.5
  expect(averaged.get("q")).toBeCloseTo((2 / (1 - Math.SQRT1_2) + 10) / 0.75, 10)
  expect(averaged.get("v")).toBeCloseTo(12, 10)
  expect([...averaged.keys()]).toEqual(["q", "v"])
})

test("a client of share 0 and a module without triplets say nothing", () => {
  const averaged = averageScores(
    [
      { share: 0, scores: [{ name: "q", values: [9] }] },
      { share: 1, scores: [{ name: "v", values: [] }] },
    ],
    NOTHING,
  )
  expect(averaged.size).toBe(0)
})

test.each([
  ["a negative score", { share: 1, scores: [{ name: "q", values: [1, -1] }] }],
  ["an infinite score", { share: 1, scores: [{ name: "q", values: [Infinity] }] }],
  ["a share that is no number", { share: NaN, scores: [] }],
])("%s is SCORES_NOT_FINITE", (_, report) => {
  expect(() => averageScores([report], NOTHING)).toThrow(expect.objectContaining({ code: "SCORES_NOT_FINITE" }))
})

test("a module that was trained for long does not count for more than those that were only probed", () => {
  const probed = averageScores([one({ q: 3, k: 1, v: 2 })], NOTHING)
  // the same relation after many steps: ten thousand times as much of everything
  const trained = averageScores([one({ q: 30_000, k: 10_000 })], probed)
  for (const name of ["q", "k"]) expect(trained.get(name)).toBeCloseTo(probed.get(name)!, 10)
  // and where q turns out to matter less than k, v passes it
  const turned = new Map([...probed, ...averageScores([one({ q: 10_000, k: 30_000 })], probed)])
  expect(turned.get("k")! > turned.get("v")! && turned.get("v")! > turned.get("q")!).toBe(true)
})

test("of two clients, the one with more steps says no more than the other", () => {
  const probed = averageScores([one({ q: 1, k: 1 })], NOTHING)
  const both = averageScores([one({ q: 3, k: 1 }, 0.5), one({ q: 10_000, k: 30_000 }, 0.5)], probed)
  expect(both.get("q")).toBeCloseTo(both.get("k")!, 10)
})

test("a report of zeros says nothing, and one of other modules only is taken as it is", () => {
  const probed = averageScores([one({ q: 1, k: 1 })], NOTHING)
  expect(averageScores([one({ q: 0, k: 0 })], probed).size).toBe(0)
  expect(averageScores([one({ v: 5 })], probed)).toEqual(averageScores([one({ v: 5 })], NOTHING))
})
