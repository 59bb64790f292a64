import { nameHash, threefry, uniformArray } from "./counter-random.js"

test("threefry gives the known answers of its authors' library", () => {
  // Random123, kat_vectors: threefry2x32 20
  expect(threefry([0, 0], [0, 0])).toEqual([0x6b200159, 0x99ba4efe])
  expect(threefry([0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff])).toEqual([0x1cb996fc, 0xbb002be7])
  expect(threefry([0x13198a2e, 0x03707344], [0x243f6a88, 0x85a308d3])).toEqual([0xc4923a9c, 0x483df7a0])
})

test("uniformArray takes two values from each counter and keeps within its bound", () => {
  const values = uniformArray([1, 2], { stream: 3, length: 5, bound: 0.5 })
  const [first, second] = threefry([1, 2], [0, 3])
  expect(values[0]).toBe(Math.fround((first >>> 8) / 2 ** 24 - 0.5))
  expect(values[1]).toBe(Math.fround((second >>> 8) / 2 ** 24 - 0.5))
  expect(values).toHaveLength(5)
  const many = uniformArray([1, 2], { stream: 3, length: 10_000, bound: 0.5 })
  expect(many.slice(0, 5)).toEqual(values)
  expect(Math.max(...many)).toBeLessThan(0.5)
  expect(Math.min(...many)).toBeGreaterThanOrEqual(-0.5)
})

test("nameHash is FNV-1a", () => {
  // Published test values of FNV-1a, 32 bits.
  expect(nameHash("")).toBe(0x811c9dc5)
  expect(nameHash("a")).toBe(0xe40c292c)
  expect(nameHash("foobar")).toBe(0xbf9cf968)
})
