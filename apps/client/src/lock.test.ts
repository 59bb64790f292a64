import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { spawn } from "node:child_process"
import { once } from "node:events"

import { tryLock, waitForLock } from "./lock.js"

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lamina-lock-"))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test("one holder at a time, the next one after the release", async () => {
  const path = join(folder, "lock")
  const lock = await tryLock(path)
  expect(lock).toBeDefined()
  expect(await tryLock(path)).toBeUndefined()
  const waiting = waitForLock(path, new AbortController().signal)
  await lock?.release()
  await (await waiting).release()
  expect(await readdir(folder)).toEqual([])
})

test("locks of one process are each held until their own release, and say who holds them", async () => {
  const paths = ["a", "b", "c"].map((name) => join(folder, name, "lock"))
  const [first, second, third] = await Promise.all(paths.map(tryLock))
  await first?.release()
  expect(await Promise.all(paths.slice(1).map(tryLock))).toEqual([undefined, undefined])
  for (const path of paths.slice(1)) expect(await readFile(path, "utf8")).toMatch(new RegExp(`^${process.pid} `))
  await third?.release() // the one a next lock would have been made of
  const again = await tryLock(paths[0]!)
  expect(await readFile(paths[0]!, "utf8")).toMatch(new RegExp(`^${process.pid} `))
  await Promise.all([second, again].map((lock) => lock?.release()))
  expect(await Promise.all(paths.map((path) => readdir(dirname(path))))).toEqual([[], [], []])
})

test("a lock that another process put where ours was is not taken for one of ours", async () => {
  const [first, second] = ["a", "b"].map((name) => join(folder, name, "lock")) as [string, string]
  const lock = await tryLock(first)
  await rm(dirname(first), { recursive: true })
  await mkdir(dirname(first))
  await writeFile(first, "1 another")
  const next = await tryLock(second)
  expect(await readFile(second, "utf8")).toMatch(new RegExp(`^${process.pid} `))
  await Promise.all([lock, next].map((each) => each?.release()))
})

test("a lock of a process that is gone is taken over, one of a living process is not", async () => {
  const path = join(folder, "lock")
  const other = spawn(process.execPath, ["-e", "process.stdin.resume()"], { stdio: ["pipe", "ignore", "ignore"] })
  const exit = once(other, "exit")
  const fields = process.platform === "linux" ? await startTime(other.pid ?? 0) : ""
  await writeFile(path, `${other.pid} ${fields}`)
  expect(await tryLock(path)).toBeUndefined()
  other.kill("SIGKILL")
  await exit
  const lock = await tryLock(path)
  expect(lock).toBeDefined()
  await lock?.release()
})

test("the id of a dead owner that a new process got does not keep the lock", async () => {
  const path = join(folder, "lock")
  // this process lives, but did not start in clock tick 1 after boot
  await writeFile(path, `${process.ppid} 1`)
  const lock = await tryLock(path)
  expect(lock !== undefined).toBe(process.platform === "linux")
  await lock?.release()
})

async function startTime(pid: number): Promise<string> {
  return (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ").at(-1)?.split(" ")[19] ?? ""
}
