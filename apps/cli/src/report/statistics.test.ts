import { evenly, formatTime, quantile, summaryOf } from "./statistics.js"

test("quantiles lie between neighbours in proportion", () => {
  // positions 0..3 of 1, 2, 4, 8: q = 0.5 is position 1.5, between 2 and 4
  expect([0, 0.5, 1].map((q) => quantile([8, 1, 4, 2], q))).toEqual([1, 3, 8])
  expect(quantile([5], 0.9)).toBe(5)
  expect(quantile([], 0.5)).toBeNaN()
})

test("a summary has mean, deviation, least and most", () => {
  // mean 2, squared distances 1, 0, 1: deviation sqrt(2/3)
  expect(summaryOf([3, 1, 2])).toEqual({ count: 3, mean: 2, deviation: Math.sqrt(2 / 3), least: 1, most: 3 })
})

test("evenly keeps the first, the last and as many between", () => {
  expect(evenly([0, 1, 2, 3, 4, 5, 6, 7, 8], 3)).toEqual([0, 4, 8])
  expect(evenly([1, 2], 3)).toEqual([1, 2])
})

test("times have the largest unit of which there are two", () => {
  expect([0, 1_500, 90_000, 5_400_000, 10_800_000].map(formatTime)).toEqual([
    ...["0 ms", "1500 ms", "90.0 s", "90.0 min", "3.0 h"],
  ])
})
