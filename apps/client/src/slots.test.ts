import { Slots } from "./slots.js"

test("no more than so many run at once, in order, and a failure gives its place back", async () => {
  const slots = new Slots(2)
  const begun: number[] = []
  let running = 0
  let most = 0
  const work = (n: number) => async () => {
    begun.push(n)
    most = Math.max(most, ++running)
    await new Promise((resolve) => setImmediate(resolve))
    running -= 1
    if (n === 1) throw new Error("one")
    return n
  }
  const results = await Promise.allSettled([0, 1, 2, 3, 4].map((n) => slots.run(work(n))))
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled", "fulfilled"])
  expect(begun).toEqual([0, 1, 2, 3, 4])
  expect(most).toBe(2)
})
