import { randomUUID } from "node:crypto"
import { readFile, rename, rm, writeFile } from "node:fs/promises"
import { hostname } from "node:os"
import { setTimeout } from "node:timers/promises"

import { writeFailure } from "./download.js"

interface LockOptions {
  readonly signal: AbortSignal
  /** Called once when another process holds it. */
  readonly onWait: (holder: string) => void
}

const POLL_MS = 200

/**
 * Runs `work` while no other process of this machine pulls into or removes the same model; waits for one that does. The
 * lock of a process that has died is taken over. Should two ever get in, the hashes still keep what is wrong out.
 * FILE_UNWRITABLE, STORAGE_FULL.
 */
export async function withLock<T>(path: string, { signal, onWait }: LockOptions, work: () => Promise<T>): Promise<T> {
  const mine = `${process.pid} ${hostname()} ${randomUUID()}`
  for (let tries = 0; !(await take(path, mine)); tries++) {
    const holder = await readFile(path, "utf8").catch(() => "") // just given back
    if (isDead(holder)) await remove(path, holder)
    else {
      if (tries === 0) onWait(holder.split(" ").slice(0, 2).join(" on "))
      await setTimeout(POLL_MS, undefined, { signal })
    }
  }
  try {
    return await work()
  } finally {
    await remove(path, mine)
  }
}

async function take(path: string, mine: string): Promise<boolean> {
  try {
    await writeFile(path, mine, { flag: "wx" })
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false
    throw writeFailure(path, cause)
  }
}

/** True for a process of this machine that is no longer there. */
function isDead(holder: string): boolean {
  const [pid, host] = holder.split(" ")
  if (host !== hostname() || !/^\d+$/.test(pid ?? "")) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "ESRCH"
  }
}

/** Takes the lock away if it is still the one that was seen: another may have taken it over meanwhile. */
async function remove(path: string, seen: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`
  try {
    await rename(path, aside)
  } catch {
    return // somebody else has removed it
  }
  const content = await readFile(aside, "utf8")
  if (content !== seen) await writeFile(path, content, { flag: "wx" }).catch(() => undefined) // newer, and held
  await rm(aside, { force: true })
}
