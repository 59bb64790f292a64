import { randomUUID } from "node:crypto"
import { open, rename, rm } from "node:fs/promises"
import { dirname } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

/**
 * Writes `parts` one after another beside `path`, syncs, renames and syncs the folder: after a power cut there is the
 * old file or the whole new one. On failure nothing is left behind. FILE_UNWRITABLE.
 */
export async function writeAtomically(path: string, parts: Iterable<Uint8Array>): Promise<void> {
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
    throw new LaminaError("FILE_UNWRITABLE", `${path}: ${(cause as Error).message}`, { cause })
  }
}

async function writeSynced(path: string, parts: Iterable<Uint8Array>): Promise<void> {
  const file = await open(path, "wx")
  try {
    for (const part of parts) await file.writeFile(part)
    await file.sync()
  } finally {
    await file.close()
  }
}
