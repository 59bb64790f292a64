import { RoundMemory } from "./round-memory.js"

const floats = 1000
const bytes = 4 * floats

test("a round's memory is the next round's once it is released, and not before", () => {
  const memory = new RoundMemory(2 * bytes)
  const first = memory.take(floats)
  const second = memory.take(floats)
  expect(second.buffer).not.toBe(first.buffer)
  memory.release()
  const again = [memory.take(floats), memory.take(floats), memory.take(floats)].map(({ buffer }) => buffer)
  expect(new Set(again).size).toBe(3)
  expect(again.slice(0, 2)).toEqual([first.buffer, second.buffer])
})

test("what is given back serves the same round, and counts once when the round is over", () => {
  const memory = new RoundMemory(2 * bytes)
  const first = memory.take(floats)
  memory.give(first.subarray(0, 10))
  const second = memory.take(floats - 1)
  expect([second.buffer, second.length]).toEqual([first.buffer, floats - 1])
  memory.release()
  expect(memory.take(floats).buffer).toBe(first.buffer)
  expect(memory.take(floats).buffer).not.toBe(first.buffer)
})

test("the smallest that fits is taken, and none twice as large as what is needed", () => {
  const memory = new RoundMemory(10 * bytes)
  const [large, small] = [memory.take(3 * floats), memory.take(floats)]
  memory.release()
  expect(memory.take(floats - 1).buffer).toBe(small.buffer)
  expect(memory.take(1.5 * floats).buffer).not.toBe(large.buffer)
  expect(memory.take(1.5 * floats + 1).buffer).toBe(large.buffer)
})

test("no more is kept than the bound, no more than the last round took, and nothing once cleared", () => {
  const memory = new RoundMemory(bytes)
  const [first, second] = [memory.take(floats), memory.take(floats)].map(({ buffer }) => buffer)
  memory.release()
  expect(memory.take(floats).buffer).toBe(first)
  expect(memory.take(floats).buffer).not.toBe(second)
  memory.release()
  memory.release() // a round that took nothing
  expect(memory.take(floats).buffer).not.toBe(first)
  const last = memory.take(floats).buffer
  memory.clear()
  memory.release()
  expect(memory.take(floats).buffer).not.toBe(last)
  const none = new RoundMemory(0)
  const taken = none.take(floats).buffer
  none.release()
  expect(none.take(floats).buffer).not.toBe(taken)
})
