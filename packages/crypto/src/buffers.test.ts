import { Buffers } from "./buffers.js"

test("what is given back is used again, where it is not far too large", () => {
  const buffers = new Buffers(1_000_000)
  const first = buffers.take(100_000)
  expect([first.byteLength, first.buffer.byteLength]).toEqual([100_000, 102_400])
  expect(buffers.take(100_000).buffer).not.toBe(first.buffer)
  buffers.give(first)
  buffers.give(first)
  expect(buffers.take(65_536 - 15_000).buffer).not.toBe(first.buffer)
  const again = buffers.take(102_000)
  expect([again.buffer === first.buffer, again.byteLength]).toEqual([true, 102_000])
  expect(buffers.take(102_000).buffer).not.toBe(first.buffer)
})

test("no more is kept than the limit, the oldest make room, and nothing small or of others is kept", () => {
  const buffers = new Buffers(200_000)
  const [one, two, small] = [buffers.take(120_000), buffers.take(120_000), buffers.take(9)]
  const others = new Uint8Array(120_000)
  for (const taken of [one, two, small, others]) buffers.give(taken)
  expect(buffers.take(120_000).buffer).toBe(two.buffer)
  expect([one.buffer, others.buffer]).not.toContain(buffers.take(120_000).buffer)
  expect([small.buffer.byteLength, buffers.take(9).buffer === small.buffer]).toEqual([9, false])
})

test("cleared, nothing is kept, and what is taken can still be given back", () => {
  const buffers = new Buffers(300_000)
  const [one, two] = [buffers.take(120_000), buffers.take(120_000)]
  buffers.give(one)
  buffers.clear()
  expect(buffers.take(120_000).buffer).not.toBe(one.buffer)
  buffers.give(two)
  expect(buffers.take(120_000).buffer).toBe(two.buffer)
})
