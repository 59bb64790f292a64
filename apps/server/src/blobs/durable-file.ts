import { closeSync, fsync, openSync } from "node:fs"
import { open, rename } from "node:fs/promises"
import { dirname } from "node:path"
import { promisify } from "node:util"

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

const synced = promisify(fsync)

/** Makes the names in a folder durable. Only the sync waits for the disk, so only it is worth a thread. */
export async function syncFolder(path: string): Promise<void> {
  const folder = openSync(path, "r")
  try {
    await synced(folder)
  } finally {
    closeSync(folder)
  }
}
