import { open, stat } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"
import type { ErrorCode } from "@lamina/protocol/errors"

/** How a small file's absence and excess are reported. */
interface BoundedRead {
  readonly bytesMax: number
  readonly missing: ErrorCode
  readonly malformed: ErrorCode
}

/**
 * The text of a UTF-8 file of at most `bytesMax` bytes, a byte order mark left out. FILE_UNREADABLE, and the codes of
 * `read`.
 */
export async function readBounded(path: string, read: BoundedRead): Promise<string> {
  const file = await openFile(path, read.missing)
  try {
    const { size } = await file.stat()
    if (size > read.bytesMax)
      throw new LaminaError(read.malformed, `${path}: expected at most ${read.bytesMax} bytes, got ${size}`)
    return decodeUtf8(await file.readFile(), path, read.malformed)
  } catch (cause) {
    throw fileError(path, cause)
  } finally {
    await file.close()
  }
}

/** Whether there is a file or folder, readable or not: reading it says so. */
export async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined
}

/** Opens a file to read; one that is not there is `missing`, any other failure FILE_UNREADABLE. */
export async function openFile(path: string, missing: ErrorCode): ReturnType<typeof open> {
  try {
    return await open(path, "r")
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT")
      throw new LaminaError(missing, `${path}: expected a file, found none`, { cause })
    throw fileError(path, cause)
  }
}

/** The same error if it has a code of ours, FILE_UNREADABLE with the path otherwise. */
export function fileError(path: string, cause: unknown): LaminaError {
  if (cause instanceof LaminaError) return cause
  return new LaminaError("FILE_UNREADABLE", `${path}: ${(cause as Error).message}`, { cause })
}

/** Text of UTF-8 bytes without a byte order mark; `code` when they are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array, path: string, code: ErrorCode): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch (cause) {
    throw notUtf8({ bytes, path, code }, cause)
  }
}

/** The failure of bytes that are not UTF-8, with the place from 0 where they stop being so; `before` stand before. */
export function notUtf8(
  { bytes, path, code, before = 0 }: { bytes: Uint8Array; path: string; code: ErrorCode; before?: number },
  cause: unknown,
): LaminaError {
  let [good, bad] = [0, bytes.length + 1] // so many bytes begin a text, so many do not, or the text ends too early
  while (bad - good > 1) {
    const middle = (good + bad) >>> 1
    if (beginsText(bytes.subarray(0, middle))) good = middle
    else bad = middle
  }
  return new LaminaError(code, `${path}: expected UTF-8 text, got other bytes at byte ${before + good}`, { cause })
}

function beginsText(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true })
    return true
  } catch {
    return false
  }
}
