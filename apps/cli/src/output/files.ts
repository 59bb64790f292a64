import { appendFileSync, readFileSync, writeFileSync } from "node:fs"
import { access, constants, open, readFile, rm, writeFile } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"

/** Writes a file of text. FILE_UNWRITABLE, STORAGE_FULL. */
export async function writeText(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((cause: unknown) => {
    throw writeFailure(path, cause)
  })
}

/** `writeText`, at once. */
export function writeTextSync(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch (cause) {
    throw writeFailure(path, cause)
  }
}

/** Puts text at the end of a file, which may be new. FILE_UNWRITABLE, STORAGE_FULL. */
export function appendText(path: string, text: string): void {
  try {
    appendFileSync(path, text)
  } catch (cause) {
    throw writeFailure(path, cause)
  }
}

/** The text of a file; undefined where there is none. FILE_UNREADABLE. */
export async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((cause: unknown) => ifMissing(path, cause))
}

/** `readIfThere`, at once. */
export function readIfThereSync(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8")
  } catch (cause) {
    return ifMissing(path, cause)
  }
}

/** Fails at once where a file that is written after long work could not be; leaves what is there as it is. */
export async function checkWritable(path: string): Promise<void> {
  const isNew = await access(path, constants.F_OK).then(
    () => false,
    () => true,
  )
  const file = await open(path, "a").catch((cause: unknown) => {
    throw writeFailure(path, cause)
  })
  await file.close()
  if (isNew) await rm(path, { force: true })
}

/** What a failed write means; `room` says how to make room. */
export function writeFailure(path: string, cause: unknown, room = "make room on that disk"): LaminaError {
  const { code, message } = cause as NodeJS.ErrnoException
  if (code === "ENOSPC" || code === "EDQUOT")
    return new LaminaError("STORAGE_FULL", `${path}: the disk is full`, { cause, hint: room })
  return new LaminaError("FILE_UNWRITABLE", `${path}: ${code ?? message}`, { cause })
}

function ifMissing(path: string, cause: unknown): undefined {
  const { code, message } = cause as NodeJS.ErrnoException
  if (code === "ENOENT") return undefined
  throw new LaminaError("FILE_UNREADABLE", `${path}: ${code ?? message}`, { cause })
}
