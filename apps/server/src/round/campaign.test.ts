import fc from "fast-check"

import { afterRound } from "./campaign.js"

test("a run opens rounds until as many were published as the recipe says", () => {
  expect(afterRound([], 2)).toBe("open-next")
  expect(afterRound(["published"], 2)).toBe("open-next")
  expect(afterRound(["published", "published"], 2)).toBe("done")
})

test("an abandoned round is tried again once", () => {
  expect(afterRound(["published", "abandoned"], 3)).toBe("retry")
  expect(afterRound(["published", "abandoned", "abandoned"], 3)).toBe("failed")
  expect(afterRound(["abandoned", "published", "abandoned"], 3)).toBe("retry")
  expect(afterRound(["cancelled"], 3)).toBe("failed")
})

test("every run ends: after at most two rounds per published one, plus the two that fail it", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.infiniteStream(fc.constantFrom("published" as const, "abandoned" as const)),
      (rounds, draw) => {
        const outcomes: ("published" | "abandoned")[] = []
        while (["open-next", "retry"].includes(afterRound(outcomes, rounds))) outcomes.push(draw.next().value!)
        expect(outcomes.length).toBeLessThanOrEqual(2 * rounds + 1)
      },
    ),
    { numRuns: 500, seed: 7 },
  )
})
