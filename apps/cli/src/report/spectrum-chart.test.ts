import { quantileLines } from "./spectrum-chart.js"

test("quantiles of spectra of unequal length fall, and end where they come to 0", () => {
  // ranks 3, 2 and 1; second values 8, 4 and none: the median is 4, the 10th percentile 0.2 of the way from 0 to 4
  const lines = quantileLines([[16, 8, 4], [8, 4], [2]])
  const pointsOf = (name: string) => lines.find((line) => line.name === name)?.points
  expect(pointsOf("largest")).toEqual([
    [1, 16],
    [2, 8],
    [3, 4],
  ])
  expect(pointsOf("median")).toEqual([
    [1, 8],
    [2, 4],
  ])
  expect(pointsOf("10th percentile")).toEqual([
    [1, expect.closeTo(3.2, 9)],
    [2, expect.closeTo(0.8, 9)],
  ])
  expect(pointsOf("smallest")).toEqual([[1, 2]])
})
