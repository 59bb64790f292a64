import { randomUUID } from "node:crypto"
import { open, rename, rm } from "node:fs/promises"
import { dirname } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

/** Bytes at hand, or made as they are wanted. */
type Parts = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/**
 * Writes `parts` one after another beside `path`, syncs, renames and syncs the folder: after a power cut there is the
 * old file or the whole new one. On failure nothing is left behind. FILE_UNWRITABLE, and what making `parts` throws.
 */
export async function writeAtomically(path: string, parts: Parts): Promise<void> {
  const partial = `${path}.${randomUUID()}.partial`
  try {
    await writeSynced(partial, parts)
    await rename(partial, path)
    const folder = await open(dirname(path), "r")
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  } catch (cause) {
    await rm(partial, { force: true })
    if (!isSystemError(cause)) throw cause
    throw new LaminaError("FILE_UNWRITABLE", `${path}: ${cause.message}`, { cause })
  }
}

async function writeSynced(path: string, parts: Parts): Promise<void> {
  const file = await open(path, "wx")
  try {
    for await (const part of parts) await file.writeFile(part)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** True for a failure of the operating system: the parts may fail as well, and say so themselves. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error
}
