import { open, rename } from "node:fs/promises"
import { dirname } from "node:path"

import { syncFolder } from "@lamina/crypto"

/**
 * Writes a whole file so that after a crash it is there with these bytes or not at all: unfinished name, fsync,
 * rename, fsync of the folder.
 */
export async function writeDurably(path: string, bytes: Uint8Array, mode = 0o644): Promise<void> {
  const unfinished = `${path}.${process.pid}.unfinished`
  const file = await open(unfinished, "w", mode)
  try {
    await file.writeFile(bytes)
    await file.datasync()
  } finally {
    await file.close()
  }
  await rename(unfinished, path)
  await syncFolder(dirname(path))
}
