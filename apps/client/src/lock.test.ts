import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
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
  const { readFile } = await import("node:fs/promises")
  return (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ").at(-1)?.split(" ")[19] ?? ""
}
