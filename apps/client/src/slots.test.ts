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

test("a slot that is entered is free again once it is left, and left once", async () => {
  const slots = new Slots(1)
  const leave = await slots.enter()
  const order: string[] = []
  const waiting = [1, 2].map(async (k) => {
    const leaveAgain = await slots.enter()
    order.push(`in ${k}`)
    return leaveAgain
  })
  await new Promise((resolve) => setImmediate(resolve))
  expect(order).toEqual([])
  leave()
  leave()
  const first = await waiting[0]
  await new Promise((resolve) => setImmediate(resolve))
  expect(order).toEqual(["in 1"])
  first?.()
  ;(await waiting[1])?.()
  expect(order).toEqual(["in 1", "in 2"])
})
