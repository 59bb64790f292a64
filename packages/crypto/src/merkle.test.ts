import { LIMITS } from "@lamina/protocol"

import { concat, hash } from "./hash.js"
import { leafHash, leavesOf, rootOf } from "./merkle.js"

const leaf = (i: number): Uint8Array => leafHash(Uint8Array.of(i))
const leaves = (count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => leaf(i))

/** RFC 6962, section 2.1: the left part is the largest power of two below the whole. */
function rfc6962(given: readonly Uint8Array[]): Uint8Array {
  if (given.length === 1) return given[0] as Uint8Array
  let left = 1
  while (left * 2 < given.length) left *= 2
  return hash(Uint8Array.of(1), rfc6962(given.slice(0, left)), rfc6962(given.slice(left)))
}

test("the root is RFC 6962's for every number of leaves up to 70", () => {
  for (let count = 1; count <= 70; count++) expect(rootOf(leaves(count))).toEqual(rfc6962(leaves(count)))
})

test("order, number and kind of leaves change the root", () => {
  const [a, b, c] = leaves(3) as [Uint8Array, Uint8Array, Uint8Array]
  const roots = [[a, b, c], [b, a, c], [a, b], [a, b, c, c], [rootOf([a, b]), c].reverse()].map((list) =>
    Buffer.from(rootOf(list)).toString("hex"),
  )
  expect(new Set(roots).size).toBe(roots.length)
})

test("a node does not pass for a chunk", () => {
  // without the prefixes the chunk `left ‖ right` would have its parent's hash
  const [left, right] = leaves(2) as [Uint8Array, Uint8Array]
  expect(leafHash(concat(left, right))).not.toEqual(rootOf([left, right]))
})

test("bytes are cut into chunks of 256 KiB; nothing is one empty chunk", () => {
  const counts = [0, 1, LIMITS.chunkBytes, LIMITS.chunkBytes + 1].map(
    (length) => leavesOf(new Uint8Array(length)).length,
  )
  expect(counts).toEqual([1, 1, 1, 2])
  const bytes = Uint8Array.from({ length: LIMITS.chunkBytes + 9 }, (_, i) => i & 0xff)
  expect(leavesOf(bytes)[1]).toEqual(leafHash(bytes.subarray(LIMITS.chunkBytes)))
  expect(() => rootOf([])).toThrow(RangeError)
})
