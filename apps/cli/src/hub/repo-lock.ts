import { randomUUID } from "node:crypto"
import { open, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises"
import type { FileHandle } from "node:fs/promises"
import { hostname } from "node:os"
import { setTimeout } from "node:timers/promises"

import { LaminaError } from "@lamina/protocol/errors"

import { writeFailure } from "./download.js"

interface LockOptions {
  readonly signal: AbortSignal
  /** Called once when another process holds it, with which one. */
  readonly onWait: (holder: string) => void
  /** Default `TIMES`. */
  readonly times?: typeof TIMES
}

const TIMES = {
  pollMs: 200,
  /** A holder shows this often that it is alive, by the lock's time of change. */
  refreshMs: 5_000,
  /** A holder on another machine that has shown nothing for so long is gone. */
  staleMs: 30_000,
  /** A lock is written right after it is made: one that names nobody for so long is what a crash left. */
  namelessMs: 3_000,
}

/** `PID HOST UUID`, what a lock holds. */
const HOLDER = /^(\d+) (\S+) \S+$/

/**
 * Runs `work` while no other process pulls into or removes the same model; waits for one that does. The lock of a
 * process that has died is taken over: at once on this machine, where its lock no longer changes on another. Should two
 * ever get in, the hashes still keep what is wrong out. FILE_UNWRITABLE, FILE_UNREADABLE, STORAGE_FULL.
 */
export async function withLock<T>(path: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  const { signal, onWait, times = TIMES } = options
  const mine = `${process.pid} ${hostname()} ${randomUUID()}`
  let seen = { state: "", since: 0 }
  let told = false
  while (!(await take(path, mine))) {
    signal.throwIfAborted()
    const lock = await look(path)
    if (lock === undefined) continue // just given back
    // by this machine's clock: another's may be off
    if (lock.state !== seen.state) seen = { state: lock.state, since: performance.now() }
    if (isDead(lock.holder, performance.now() - seen.since, times)) await remove(path, lock.holder)
    else {
      if (!told) onWait(nameOf(lock.holder))
      told = true
      await setTimeout(times.pollMs, undefined, { signal })
    }
  }
  const refresh = setInterval(() => void touch(path), times.refreshMs).unref()
  try {
    return await work()
  } finally {
    clearInterval(refresh)
    await remove(path, mine)
  }
}

async function take(path: string, mine: string): Promise<boolean> {
  let file: FileHandle
  try {
    file = await open(path, "wx")
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false
    throw writeFailure(path, cause)
  }
  try {
    await file.writeFile(mine)
    return true
  } catch (cause) {
    await rm(path, { force: true })
    throw writeFailure(path, cause)
  } finally {
    await file.close()
  }
}

/** Who holds the lock, and what changes as long as it is alive; undefined where nobody does. */
async function look(path: string): Promise<{ holder: string; state: string } | undefined> {
  try {
    const holder = await readFile(path, "utf8")
    return { holder, state: `${(await stat(path)).mtimeMs} ${holder}` }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw new LaminaError("FILE_UNREADABLE", `${path}: ${(cause as Error).message}`, { cause })
  }
}

async function touch(path: string): Promise<void> {
  const now = new Date()
  await utimes(path, now, now).catch(() => undefined) // taken over, or given back
}

function isDead(holder: string, unchangedMs: number, { staleMs, namelessMs }: typeof TIMES): boolean {
  const [, pid, host] = HOLDER.exec(holder) ?? []
  if (pid === undefined) return unchangedMs >= namelessMs
  if (host !== hostname()) return unchangedMs >= staleMs
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "ESRCH"
  }
}

function nameOf(holder: string): string {
  const [, pid, host] = HOLDER.exec(holder) ?? []
  return pid === undefined ? "a process without a name" : `process ${pid} on ${host}`
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
