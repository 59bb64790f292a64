import { parseRecipe } from "@lamina/protocol/recipe"

import { deviceClasses } from "./device-classes.js"

const recipe = (simulation: object | undefined) => parseRecipe({ name: "a", base: "b", simulation })
const devices = { phone: { memoryBytes: 1e9, rank: 8, uploadBytesMax: 5e6 }, desk: { tokensPerSecond: 900 } }

test("clients of the same device, rank and precision are one class", () => {
  const classes = deviceClasses(
    recipe({
      devices,
      clients: [
        { name: "x", data: "d", device: "phone" },
        { name: "y", data: "d" },
        { name: "z", data: "d", device: "phone" },
        { name: "w", data: "d", device: "phone", rank: 4, precision: "q4" },
      ],
    }),
  )
  expect(classes.map(({ device, clients, count }) => ({ device, clients, count }))).toEqual([
    { device: "phone", clients: ["x", "z"], count: 2 },
    { device: "default", clients: ["y"], count: 1 },
    { device: "phone", clients: ["w"], count: 1 },
  ])
  const profiles = classes.map(({ profile }) => profile)
  expect(profiles[0]).toMatchObject({ memoryBytes: 1e9, rankMax: 8, uploadBytesMax: 5e6, precision: "" })
  expect(profiles[1]).toMatchObject({ memoryBytes: 8 * 2 ** 30, rankMax: 0, uploadBytesMax: 0, timeCorrection: 1 })
  expect(profiles[2]).toMatchObject({ memoryBytes: 1e9, rankMax: 4, precision: "q4" })
})

test("a population takes devices and ranks in turn", () => {
  // five clients: devices phone, desk, phone, desk, phone with ranks 4, 8, 16, 4, 8
  const population = { count: 5, data: "d", devices: ["phone", "desk"], ranks: [4, 8, 16] }
  const classes = deviceClasses(recipe({ devices, population }))
  expect(classes.map(({ device, count, profile }) => [device, count, profile.rankMax])).toEqual([
    ["phone", 1, 4],
    ["desk", 1, 8],
    ["phone", 1, 16],
    ["desk", 1, 4],
    ["phone", 1, 8],
  ])
})

test("a recipe that simulates nobody is RECIPE_INVALID", () => {
  expect(() => deviceClasses(recipe(undefined))).toThrow(expect.objectContaining({ code: "RECIPE_INVALID" }))
})
