import { abortable, backoffMs, delay, onAbort } from "./timing.js"

test("the wait doubles with every attempt up to its limit, and full jitter spreads it down to nothing", () => {
  // first 100, most 1000: bounds 100, 200, 400, 800, 1000, 1000; random 0.5 takes half of each
  const waits = [0, 1, 2, 3, 4, 5].map((attempt) => backoffMs(attempt, () => 0.5, { firstMs: 100, mostMs: 1_000 }))
  expect(waits).toEqual([50, 100, 200, 400, 500, 500])
  expect(backoffMs(9, () => 0, { firstMs: 100, mostMs: 1_000 })).toBe(0)
  expect(backoffMs(2_000, () => 0.999, { firstMs: 100, mostMs: 1_000 })).toBe(999)
})

test("an abort ends a wait with the signal's own reason", async () => {
  const stop = new AbortController()
  const waiting = delay(3_600_000, stop.signal)
  const reason = new Error("enough")
  stop.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  await expect(delay(0, stop.signal)).rejects.toBe(reason)
})

test("abortable gives the work's result, or the reason when the abort comes first", async () => {
  const stop = new AbortController()
  expect(await abortable(Promise.resolve(7), stop.signal)).toBe(7)
  const never = abortable(new Promise(() => undefined), stop.signal)
  stop.abort("left")
  await expect(never).rejects.toBe("left")
})

test("what waits for an abort is called once, in order, and what was forgotten is not", () => {
  const stop = new AbortController()
  const called: number[] = []
  const forgets = [1, 2, 3].map((k) => onAbort(stop.signal, () => called.push(k)))
  forgets[1]?.()
  stop.abort()
  expect(called).toEqual([1, 3])
  onAbort(stop.signal, () => called.push(4)) // it has aborted already
  expect(called).toEqual([1, 3, 4])
})

test("abortable of an aborted signal gives the reason, whatever becomes of the work", async () => {
  const stop = new AbortController()
  stop.abort("left")
  await expect(abortable(Promise.resolve(7), stop.signal)).rejects.toBe("left")
  await expect(abortable(Promise.reject(new Error("work")), stop.signal)).rejects.toBe("left")
})
