import { toHex } from "./hash.js"
import { randomBytes } from "./random.js"

test("random bytes: as many as asked for, and never those given before", () => {
  const seen = new Set<string>()
  for (let i = 0; i < 300; i++) {
    const bytes = randomBytes(32)
    expect(bytes).toHaveLength(32)
    seen.add(toHex(bytes))
  }
  expect(seen.size).toBe(300)
  expect(seen).not.toContain("00".repeat(32))
})

test("random bytes: more than are kept waiting, and the whole of those", () => {
  for (const length of [0, 1, 2_047, 2_048, 2_049, 10_000]) expect(randomBytes(length)).toHaveLength(length)
  const large = randomBytes(10_000)
  expect(new Set(large).size).toBe(256)
})

test("random bytes: what is done to those given changes none to come", () => {
  const first = randomBytes(64)
  first.fill(7)
  expect(toHex(randomBytes(64))).not.toContain("0707070707070707")
})
