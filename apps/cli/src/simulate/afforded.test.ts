import { SimulatedDevice, parseRecipe } from "@lamina/protocol/recipe"

import { affordedBy } from "./afforded.js"

const recipeOf = (strategy: string) => parseRecipe({ name: "r", base: "b", strategy, lora: { rank: 16 } })
const plain = SimulatedDevice.parse({})
const board = SimulatedDevice.parse({ precision: "q4", rank: 8 })

test("a rank is the client's own, else its device's, else the recipe's, and never above that", () => {
  const rankOf = (device: SimulatedDevice, rank?: number) => affordedBy(recipeOf("flora"), device, { rank }).rank
  expect([rankOf(plain), rankOf(board), rankOf(board, 4), rankOf(board, 32)]).toEqual([16, 8, 4, 16])
})

test("where nobody names a precision fedpipe is free to plan one, and the others train on q8", () => {
  const of = (strategy: string, device: SimulatedDevice, precision?: "nf4") => {
    const { precision: held, namedPrecision } = affordedBy(recipeOf(strategy), device, { precision })
    return [held, namedPrecision]
  }
  expect(of("fedpipe", plain)).toEqual(["q8", undefined])
  expect(of("flora", plain)).toEqual(["q8", "q8"])
  for (const strategy of ["fedpipe", "flora"]) {
    expect(of(strategy, board)).toEqual(["q4", "q4"])
    expect(of(strategy, board, "nf4")).toEqual(["nf4", "nf4"])
  }
})
