import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { randomUUID } from "node:crypto"
import { dirname } from "node:path"

import { delay } from "./timing.js"
import { makeFolder, systemCode, writeFailure } from "./durable.js"

/**
 * One owner of a path among the processes and the clients of a machine, told by a file `<path>` with the owner's
 * process id and start time. A killed owner leaves the file behind; who finds it and no such process takes it over.
 */
interface Lock {
  release(): Promise<void>
}

/** Paths locked by this very process: a process id cannot tell two clients in one process apart. */
const held = new Set<string>()

/** The file of the lock of this process that was taken last, while it is held. */
let ours: string | undefined

/** What `describe` says of this process: it stays the same. */
let self: string | undefined

/** The lock, or undefined while another lives who holds it. */
export async function tryLock(path: string): Promise<Lock | undefined> {
  if (held.has(path)) return undefined
  held.add(path)
  try {
    if (!(await claim(path))) {
      held.delete(path)
      return undefined
    }
  } catch (error) {
    held.delete(path)
    throw writeFailure(error, path)
  }
  ours = path
  return {
    release: async () => {
      if (ours === path) ours = undefined
      rmSync(path, { force: true })
      held.delete(path)
    },
  }
}

/** Waits for the lock, asking every quarter of a second. */
export async function waitForLock(path: string, signal: AbortSignal): Promise<Lock> {
  for (;;) {
    const lock = await tryLock(path)
    if (lock) return lock
    await delay(250, signal)
  }
}

async function claim(path: string): Promise<boolean> {
  await makeFolder(dirname(path))
  if (linkedToOurs(path)) return true
  const mine = `${path}.${randomUUID()}`
  writeFileSync(mine, (self ??= describe(process.pid)), { mode: 0o600 })
  try {
    if (linked(mine, path)) return true
    if (ownerLives(path)) return false
    // moved away first: of two who find it stale only one moves it, and neither removes a lock taken since
    const stale = `${mine}.stale`
    try {
      renameSync(path, stale)
    } catch (error) {
      if (systemCode(error) !== "ENOENT") throw error
      return linked(mine, path)
    }
    if (ownerLives(stale)) {
      linked(stale, path)
      rmSync(stale, { force: true })
      return false
    }
    rmSync(stale, { force: true })
    return linked(mine, path)
  } finally {
    rmSync(mine, { force: true })
  }
}

/**
 * Another lock of this process says the same of its owner: a second name for that file, where the disk gives it one, is
 * a lock for a third of the work.
 */
function linkedToOurs(path: string): boolean {
  if (ours === undefined) return false
  try {
    linkSync(ours, path)
  } catch {
    return false // taken, or on another disk, or a file may have no more names
  }
  if (readFileSync(path, "utf8") === self) return true
  rmSync(path) // somebody removed our lock, and another process has one there
  return false
}

/** `link` fails when the name is taken: the file appears with its content or not at all. */
function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false
    throw error
  }
}

function ownerLives(path: string): boolean {
  let text: string
  try {
    text = readFileSync(path, "utf8")
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false
    throw error
  }
  const pid = Number(text.split(" ")[0])
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (systemCode(error) === "ESRCH") return false
  }
  // a process of ours that lives holds its locks in `held`; in the file it is a lock from before this process
  return pid !== process.pid && describe(pid) === text
}

/** Process id and, where the system tells, its start time: an id is used again after a reboot. */
function describe(pid: number): string {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ")
    return `${pid} ${fields?.[19] ?? ""}`
  } catch {
    return `${pid} `
  }
}
