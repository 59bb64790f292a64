import { readFileSync } from "node:fs"

import { parseRecipe, recipeJsonSchema, recipeKeys } from "./recipe.js"

const minimal = { name: "a", base: "b" }

test("a name and a base are enough; the rest has defaults", () => {
  const recipe = parseRecipe(minimal)
  expect(recipe.lora.rank).toBe(16)
  expect(recipe.training.learningRate).toBe(0.002)
  expect(recipe.privacy.mode).toBe("open")
})

test.each([
  ["an unknown key, with the known ones", { ...minimal, lora: { rnak: 3 } }, /^lora: .*rank, alphaPerRank.*"rnak"/],
  ["a wrong type", { ...minimal, rounds: "three" }, /^rounds: .*expected number.*"three"/],
  ["a number out of bounds", { ...minimal, training: { steps: 0 } }, /^training\.steps: .*1.*got 0/],
  ["a missing key", { base: "b" }, /^name: .*expected string.*got nothing/],
  ["a mode that is not built", { ...minimal, privacy: { mode: "blind" } }, /^privacy\.mode: .*"open".*"blind"/],
  [
    "deadlines the wrong way round",
    { ...minimal, cohort: { softDeadlineMs: 9e5, hardDeadlineMs: 1e4 } },
    /^cohort\.hardDeadlineMs: .*softDeadlineMs/,
  ],
  [
    "a client twice",
    {
      ...minimal,
      simulation: {
        clients: [
          { name: "x", data: "d" },
          { name: "x", data: "d" },
        ],
      },
    },
    /^simulation\.clients\.1\.name: .*"x"/,
  ],
  [
    "fedit with unequal ranks",
    {
      ...minimal,
      strategy: "fedit",
      simulation: {
        clients: [
          { name: "x", data: "d", rank: 4 },
          { name: "y", data: "d" },
        ],
      },
    },
    /^strategy: .*flora/,
  ],
  ["something that is no object", 7, /^recipe: .*7/],
])("%s is RECIPE_INVALID with its path", (_, recipe, message) => {
  expect(() => parseRecipe(recipe)).toThrow(
    expect.objectContaining({ code: "RECIPE_INVALID", message: expect.stringMatching(message) }),
  )
})

test("docs/recipes.md has a row for every key with its default", () => {
  const page = readFileSync(new URL("../../../docs/recipes.md", import.meta.url), "utf8")
  for (const { path, fallback } of recipeKeys()) {
    const row = page.split("\n").find((line) => line.startsWith(`| \`${path}\` |`))
    expect([path, row !== undefined]).toEqual([path, true])
    if (fallback !== undefined) expect([path, row?.includes(`| ${fallback} |`)]).toEqual([path, true])
  }
})

test("the JSON Schema says what must be given, the bounds, and that other keys are wrong", () => {
  const schema = recipeJsonSchema() as {
    required: string[]
    additionalProperties: boolean
    properties: Record<string, object>
  }
  expect(schema.required).toEqual(["name", "base"])
  expect(schema.additionalProperties).toBe(false)
  expect(schema.properties.rounds).toMatchObject({ type: "integer", minimum: 1, maximum: 100_000, default: 3 })
  expect(schema.properties.strategy).toMatchObject({ enum: ["flora", "fedit"], default: "flora" })
})

test("several mistakes are told together, one line each", () => {
  const lines = (): string[] => {
    try {
      parseRecipe({ name: "Not Good", base: "", rounds: 0, extra: 1 })
      return []
    } catch (error) {
      return (error as Error).message.split("\n")
    }
  }
  expect(
    lines()
      .map((line) => line.slice(0, line.indexOf(":")))
      .sort(),
  ).toEqual(["base", "name", "recipe", "rounds"])
  for (const line of lines()) expect(line).toMatch(/got/)
})
