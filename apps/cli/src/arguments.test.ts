import { nonNegativeInt, numberList, positiveInt } from "./arguments.js"

test("numbers of the command line are whole and in range, and errors repeat what came", () => {
  expect(positiveInt("12")).toBe(12)
  expect(nonNegativeInt("0")).toBe(0)
  expect(() => positiveInt("0")).toThrow('got "0"')
  expect(() => positiveInt("1.5")).toThrow('got "1.5"')
  expect(() => nonNegativeInt("-1")).toThrow('got "-1"')
  expect(() => nonNegativeInt("")).toThrow('got ""')
})

test("a list of weights takes decimals and refuses gaps, words and negatives", () => {
  expect(numberList("3, 1,0.5")).toEqual([3, 1, 0.5])
  for (const bad of ["3,,1", "x", "-1", "", "1e999"]) expect(() => numberList(bad)).toThrow("expected numbers")
})
