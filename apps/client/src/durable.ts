import { closeSync, fstatSync, mkdir, open, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs"
import { readFile, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { promisify } from "node:util"

import { syncFolder, writeDurably } from "@lamina/crypto"
import { LaminaError } from "@lamina/protocol"

const opened = promisify(open)
const made = promisify(mkdir)

/** Errors of a disk that has no room for us: full, over quota, over the process's file size limit. */
const NO_ROOM = new Set(["ENOSPC", "EDQUOT", "EFBIG"])

export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined
}

/**
 * A failed write -> STORAGE_FULL where the disk had no room, FILE_UNWRITABLE for other system errors; the rest
 * unchanged.
 */
export function writeFailure(error: unknown, path: string): unknown {
  const code = systemCode(error)
  if (error instanceof LaminaError || code === undefined) return error
  if (NO_ROOM.has(code))
    return new LaminaError("STORAGE_FULL", `no room to write ${path} (${code})`, {
      cause: error,
      hint: "free space on that disk; the client tries again by itself",
    })
  if (/^E[A-Z0-9]+$/.test(code))
    return new LaminaError("FILE_UNWRITABLE", `cannot write ${path} (${code})`, { cause: error })
  return error
}

export async function exists(path: string): Promise<boolean> {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

/** Larger files are read by a thread of the pool. */
const AT_ONCE_BYTES_MAX = 64 * 1024

/** undefined when there is no such file, which is asked first: a failure to open it costs four times as much. */
export async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    if (!(await exists(path))) return undefined
    const file = openSync(path, "r")
    try {
      if (fstatSync(file).size <= AT_ONCE_BYTES_MAX) return new Uint8Array(readFileSync(file))
    } finally {
      closeSync(file)
    }
    return new Uint8Array(await readFile(path))
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined
    throw new LaminaError("FILE_UNREADABLE", `cannot read ${path} (${systemCode(error) ?? "unknown"})`, {
      cause: error,
    })
  }
}

export async function makeFolder(path: string): Promise<void> {
  try {
    await made(path, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw writeFailure(error, path)
  }
}

/** `openSync`; a folder that is not there is made first. */
export async function openInFolder(path: string, flags: string | number): Promise<number> {
  try {
    return await opened(path, flags, 0o600)
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error
    await made(dirname(path), { recursive: true, mode: 0o700 })
    return opened(path, flags, 0o600)
  }
}

/** `writeDurably`. Throws STORAGE_FULL, FILE_UNWRITABLE and leaves nothing. */
export async function writeDurable(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeDurably(path, bytes)
  } catch (error) {
    throw writeFailure(error, path)
  }
}

/** All bytes, at `at` of an open file. */
export function writeAll(file: number, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.byteLength;) done += writeSync(file, bytes, done, bytes.byteLength - done, at + done)
}

/** The durable rename of a file that is complete and synced. */
export async function publish(part: string, path: string): Promise<void> {
  renameSync(part, path)
  await syncFolder(dirname(path))
}

/** Removes a folder and what is in it, and makes the removal durable. */
export async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true })
  await syncFolder(join(path, ".."))
}
