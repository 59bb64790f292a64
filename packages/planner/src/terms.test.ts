import { parseRecipe } from "@lamina/protocol/recipe"

import { termsOf } from "./terms.js"

const recipe = (lora: object) => parseRecipe({ name: "a", base: "b", lora, training: { steps: 30, accumulate: 2 } })

test("the recipe's rank is the largest, and its rows, steps and soft deadline are kept", () => {
  const terms = termsOf(recipe({ rank: 24 }), { adapterBytes: 8 })
  expect(terms).toMatchObject({ ranks: [4, 8, 16, 24], steps: 30, batch: 4, accumulate: 2, context: 256 })
  expect(terms).toMatchObject({ deadlineMs: 600_000, downloadBytes: 8, frozenParameters: 2 })
})

test("a global adapter that is added to the base is downloaded, and costs nothing beside it", () => {
  const merged = parseRecipe({ name: "a", base: "b", globalAdapter: { merge: true } })
  expect(termsOf(merged, { adapterBytes: 8 })).toMatchObject({ downloadBytes: 8, frozenParameters: 0 })
})

test("a rank below all others is the only one", () => {
  expect(termsOf(recipe({ rank: 2 }), { adapterBytes: 0 }).ranks).toEqual([2])
})
