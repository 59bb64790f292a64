import fc from "fast-check"

import { populationNames } from "./population-names.js"

test("numbers have as many digits as the last, three at least", () => {
  expect(populationNames(2)).toEqual(["client-001", "client-002"])
  expect(populationNames(1_000)[0]).toBe("client-0001")
})

test("keys are written in lower-case letters, digits and dashes", () => {
  expect(populationNames(4, ["Fast food", "Café", "£20-25", "日本"])).toEqual(["fast-food", "cafe", "20-25", "key"])
})

test("any keys give different valid names", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ maxLength: 80 }), { maxLength: 30 }), (keys) => {
      const names = populationNames(keys.length, keys)
      expect(new Set(names).size).toBe(keys.length)
      for (const name of names) expect(name).toMatch(/^[a-z0-9][a-z0-9-]{0,62}$/)
    }),
  )
})
