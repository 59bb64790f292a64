import {
  appendedText,
  byteCount,
  nonNegativeInt,
  numberList,
  positiveInt,
  probability,
  seed32,
  upToOne,
} from "./arguments.js"

test("numbers of the command line are whole and in range, and errors repeat what came", () => {
  expect(positiveInt("12")).toBe(12)
  expect(nonNegativeInt("0")).toBe(0)
  expect(() => positiveInt("0")).toThrow('got "0"')
  expect(() => positiveInt("1.5")).toThrow('got "1.5"')
  expect(() => nonNegativeInt("-1")).toThrow('got "-1"')
  for (const blank of ["", " "]) expect(() => nonNegativeInt(blank)).toThrow(`got "${blank}"`)
})

test("a list of weights takes decimals and refuses gaps, words and negatives", () => {
  expect(numberList("3, 1,0.5")).toEqual([3, 1, 0.5])
  for (const bad of ["3,,1", "x", "-1", "", "1e999"]) expect(() => numberList(bad)).toThrow("expected numbers")
})

test("what sampling takes ends where the sampler's own bounds do", () => {
  expect([probability("1"), upToOne("0"), upToOne("1"), seed32("4294967295")]).toEqual([1, 0, 1, 2 ** 32 - 1])
  for (const bad of ["0", "5", "", "x"]) expect(() => probability(bad)).toThrow("expected a number above 0 to 1")
  for (const bad of ["-1", "1.1", ""]) expect(() => upToOne(bad)).toThrow("expected a number from 0 to 1")
  for (const bad of ["4294967296", "-1", "0.5", ""]) expect(() => seed32(bad)).toThrow("expected a whole number")
  expect(() => appendedText("", [])).toThrow("got an empty one")
})

test("bytes take decimal and binary units, and a number alone", () => {
  expect(["10MB", "1.5 GiB", "4096", "2kb", "7 B"].map(byteCount)).toEqual([10 ** 7, 1.5 * 2 ** 30, 4_096, 2_000, 7])
  for (const bad of ["", "MB", "0", "-1MB", "1.2.3MB", "10 megs", "9999999TB"])
    expect(() => byteCount(bad)).toThrow(`got "${bad}"`)
})
