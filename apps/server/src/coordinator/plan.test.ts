import { Recipe } from "@lamina/protocol/recipe"

import { drawingOrder, planCohort, planSeed } from "./plan.js"
import type { PlannedClient } from "./plan.js"

const CAPABILITY = {
  memoryBytes: 0,
  cores: 1,
  kernels: "",
  tokensPerSecond: 0,
  platform: "",
  node: "",
  rankMax: 0,
  precision: "" as const,
  examples: 0,
  ...{ freeMemoryBytes: 0, forwardTokensPerSecond: 0, uploadBytesPerSecond: 0, downloadBytesPerSecond: 0 },
  ...{ uploadBytesMax: 0, downloadBytesMax: 0 },
}
const client = (name: string, capability: Partial<PlannedClient["capability"]> = {}): PlannedClient => ({
  id: `id-${name}`,
  name,
  capability: { ...CAPABILITY, ...capability },
})
const MODULES = [
  { name: "q", outFeatures: 4, inFeatures: 5 },
  { name: "v", outFeatures: 3, inFeatures: 5 },
]
const recipe = (changes: object) =>
  Recipe.parse({ name: "r", base: ".", lora: { rank: 16, alphaPerRank: 1.5 }, ...changes })

test("a client's rank is the recipe's unless its own limit is lower, and alpha follows the rank", () => {
  const plans = planCohort([client("a"), client("b", { rankMax: 4 }), client("c", { rankMax: 64, precision: "f32" })], {
    recipe: recipe({}),
    modules: MODULES,
    round: 1,
  })
  const shown = [...plans.values()].map(({ modules, precision }) => [
    modules.map(({ rank, alpha }) => [rank, alpha]),
    precision,
  ])
  expect(shown).toEqual([
    [
      [
        [16, 24],
        [16, 24],
      ],
      "q8",
    ],
    [
      [
        [4, 6],
        [4, 6],
      ],
      "q8",
    ],
    [
      [
        [16, 24],
        [16, 24],
      ],
      "f32",
    ],
  ])
})

test("fedit gives all the lowest rank", () => {
  const plans = planCohort([client("a", { rankMax: 8 }), client("b", { rankMax: 2 })], {
    recipe: recipe({ strategy: "fedit" }),
    modules: MODULES,
    round: 1,
  })
  expect([...plans.values()].map(({ modules }) => modules[0]?.rank)).toEqual([2, 2])
})

test("seeds differ by seed, round and name, and by nothing else", () => {
  const seeds = [
    { seed: 1, round: 1, name: "a" },
    { seed: 2, round: 1, name: "a" },
    { seed: 1, round: 2, name: "a" },
    { seed: 1, round: 1, name: "b" },
  ].map(planSeed)
  expect(new Set(seeds).size).toBe(4)
  const again = planCohort([{ ...client("a"), id: "another key" }], {
    recipe: recipe({ seed: 1 }),
    modules: MODULES,
    round: 1,
  })
  expect(again.get("another key")?.seed).toBe(seeds[0])
})

test("the drawing order depends on names, not on keys or on who came first, and changes with the round", () => {
  const names = ["a", "b", "c", "d", "e", "f"]
  const drawn = (ids: string, round: number) =>
    drawingOrder(
      names.map((name) => ({ id: ids + name, name })),
      { seed: 5, round },
    ).map(({ name }) => name)
  const reversed = drawingOrder(names.map((name) => ({ id: name, name })).reverse(), { seed: 5, round: 1 }).map(
    ({ name }) => name,
  )
  expect(drawn("x", 1)).toEqual(drawn("y", 1))
  expect(reversed).toEqual(drawn("x", 1))
  expect(drawn("x", 2)).not.toEqual(drawn("x", 1))
  expect([...drawn("x", 1)].sort()).toEqual(names)
})
