import { Buffers } from "./buffers.js"

test("what is given back is used again, where it is not far too large", () => {
  const buffers = new Buffers(100_000)
  const first = buffers.take(10_000)
  expect([first.byteLength, first.buffer.byteLength]).toEqual([10_000, 12_288])
  expect(buffers.take(10_000).buffer).not.toBe(first.buffer)
  buffers.give(first)
  buffers.give(first)
  expect(buffers.take(5_000).buffer).not.toBe(first.buffer)
  const again = buffers.take(12_000)
  expect([again.buffer === first.buffer, again.byteLength]).toEqual([true, 12_000])
  expect(buffers.take(12_000).buffer).not.toBe(first.buffer)
})

test("no more is kept than the limit", () => {
  const buffers = new Buffers(20_000)
  const [one, two] = [buffers.take(12_000), buffers.take(12_000)]
  buffers.give(one)
  buffers.give(two)
  expect(buffers.take(12_000).buffer).toBe(one.buffer)
  expect(buffers.take(12_000).buffer).not.toBe(two.buffer)
})
