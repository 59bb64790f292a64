import { LaminaError } from "@lamina/protocol"

import { SharedWork } from "./shared-work.js"

const patient = new AbortController().signal

test("work asked for by several is done once, and remembered for the newest keys only", async () => {
  const shared = new SharedWork<string>({ kept: 2 })
  const done: string[] = []
  const ask = (key: string): Promise<string> =>
    shared.get(key, patient, async () => {
      done.push(key)
      return `${key}!`
    })
  expect(await Promise.all([ask("a"), ask("a"), ask("b")])).toEqual(["a!", "a!", "b!"])
  await ask("c")
  await ask("b")
  await ask("a")
  expect(done).toEqual(["a", "b", "c", "a"])
})

test("an unlimited memory forgets nothing", async () => {
  const shared = new SharedWork<number>({ kept: Infinity })
  let done = 0
  for (const key of ["a", "b", "a", "b"]) await shared.get(key, patient, async () => ++done)
  expect(done).toBe(2)
})

test("a failure reaches all who wait, and the next one tries again", async () => {
  const shared = new SharedWork<string>({ kept: 2 })
  const fail = (): Promise<string> => Promise.reject(new LaminaError("BLOB_CORRUPT", "bad"))
  const waiting = [shared.get("a", patient, fail), shared.get("a", patient, fail)]
  for (const result of await Promise.allSettled(waiting))
    expect(result).toMatchObject({ reason: { code: "BLOB_CORRUPT" } })
  expect(await shared.get("a", patient, async () => "good")).toBe("good")
})

test("who began it may leave: another who waits begins it anew", async () => {
  const shared = new SharedWork<string>({ kept: 2 })
  const leave = new AbortController()
  const first = shared.get(
    "a",
    leave.signal,
    () => new Promise((_, reject) => leave.signal.addEventListener("abort", () => reject(leave.signal.reason))),
  )
  const second = shared.get("a", patient, async () => "by the second")
  leave.abort(new Error("left"))
  await expect(first).rejects.toThrow("left")
  expect(await second).toBe("by the second")
})
