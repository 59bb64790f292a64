import { mkdtemp, readFile, readdir, rm, stat, utimes, writeFile } from "node:fs/promises"
import { hostname, tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"

import { withLock } from "./repo-lock.js"

let folder: string
let path: string
const waited: string[] = []
const onWait = (holder: string): void => void waited.push(holder)
/** Nothing is stale within a test unless the test says so. */
const times = { pollMs: 1, refreshMs: 60_000, staleMs: 60_000, namelessMs: 60_000 }
const never = new AbortController().signal

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lamina-lock-"))
  path = join(folder, "lock")
  waited.length = 0
})
afterEach(() => rm(folder, { recursive: true }))

test.each(["", "half a li", "x"])(
  "a lock with %j in it, as a crash leaves it, is waited for and taken over",
  async (left) => {
    await writeFile(path, left)
    const work = (): Promise<string> => readFile(path, "utf8")
    const held = await withLock(path, { signal: never, onWait, times: { ...times, namelessMs: 20 } }, work)
    expect(held).toMatch(new RegExp(`^${process.pid} `))
    expect(waited).toEqual(["a process without a name"])
    expect(await readdir(folder)).toEqual([])
  },
)

test("the lock of another machine is taken over once it no longer changes", async () => {
  await writeFile(path, "1 another-host uuid")
  const taken = withLock(path, { signal: never, onWait, times: { ...times, staleMs: 500 } }, async () => "taken")
  // alive for longer than it may be silent
  const started = performance.now()
  for (let beat = 0; performance.now() - started < 800; beat++) {
    expect(await readFile(path, "utf8")).toBe("1 another-host uuid")
    await utimes(path, beat, beat)
    await setTimeout(10)
  }
  expect(await taken).toBe("taken")
  expect(waited).toEqual(["process 1 on another-host"])
})

test("who holds a lock shows that it is alive", async () => {
  await withLock(path, { signal: never, onWait, times: { ...times, refreshMs: 1 } }, async () => {
    const { mtimeMs } = await stat(path)
    while ((await stat(path)).mtimeMs === mtimeMs) await setTimeout(1)
  })
})

test("waiting for a process of this machine ends with the signal, however long nothing changes", async () => {
  await writeFile(path, `${process.pid} ${hostname()} uuid`)
  const stop = new AbortController()
  const soon = { ...times, staleMs: 0, namelessMs: 0 }
  const waiting = withLock(path, { signal: stop.signal, onWait: () => stop.abort(), times: soon }, async () => "in")
  await expect(waiting).rejects.toMatchObject({ name: "AbortError" })
  expect(await readFile(path, "utf8")).toContain("uuid")
})
