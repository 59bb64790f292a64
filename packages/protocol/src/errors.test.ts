import { readFileSync } from "node:fs"

import { ERRORS, LaminaError, errorCodeOfWire, hasErrorCode } from "./errors.js"

test("wire numbers are unique and lead back to their codes; an unknown number is INTERNAL", () => {
  const numbers = Object.values(ERRORS).map(({ wire }) => wire)
  expect(new Set(numbers).size).toBe(numbers.length)
  for (const [code, { wire }] of Object.entries(ERRORS)) expect(errorCodeOfWire(wire)).toBe(code)
  expect(errorCodeOfWire(123_456)).toBe("INTERNAL")
})

test("docs/errors.md lists the table, no more and no less", () => {
  const page = readFileSync(new URL("../../../docs/errors.md", import.meta.url), "utf8")
  const listed = [...page.matchAll(/^\| ([A-Z_]+) \| (\d+) \| ([a-z-]+) \|/gm)].map(
    ([, code, wire, retry]) => `${code} ${wire} ${retry}`,
  )
  expect(listed).toEqual(Object.entries(ERRORS).map(([code, { wire, retry }]) => `${code} ${wire} ${retry}`))
})

test("errors of the table are told from others", () => {
  expect(hasErrorCode(new LaminaError("USAGE", "x"))).toBe(true)
  expect(hasErrorCode(Object.assign(new Error("x"), { code: "KERNEL_SHAPE" }))).toBe(true)
  expect(hasErrorCode(Object.assign(new Error("x"), { code: "ENOENT" }))).toBe(false)
  expect(hasErrorCode(Object.assign(new Error("x"), { code: "toString" }))).toBe(false)
})
