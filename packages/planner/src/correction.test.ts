import { corrected } from "./correction.js"

test("a round twice as slow as estimated raises the correction by 30 % of what is missing", () => {
  // 0.7 x 1.5 + 0.3 x 1.5 x 2
  expect(corrected(1.5, { estimatedMs: 1_000, measuredMs: 2_000 })).toBeCloseTo(1.95, 12)
})

test("a device that is always three times slower is known after some rounds", () => {
  let correction = 1
  for (let round = 0; round < 20; round++)
    correction = corrected(correction, { estimatedMs: 100 * correction, measuredMs: 300 })
  // what is missing shrinks by 0.7 a round: 2 x 0.7^20 = 0.0016
  expect(Math.abs(correction - 3)).toBeLessThan(0.0017)
  expect(Math.abs(correction - 3)).toBeGreaterThan(0.0015)
})

test("one round counts as at most four times slower or faster", () => {
  expect(corrected(1, { estimatedMs: 1, measuredMs: 1_000 })).toBeCloseTo(0.7 + 0.3 * 4, 12)
  expect(corrected(1, { estimatedMs: 1_000, measuredMs: 1 })).toBeCloseTo(0.7 + 0.3 / 4, 12)
})

test.each([
  ["no estimate", { estimatedMs: 0, measuredMs: 5 }],
  ["no time", { estimatedMs: 5, measuredMs: 0 }],
])("%s leaves the correction as it is", (_, round) => {
  expect(corrected(1.2, round)).toBe(1.2)
})
