import { closeSync, fsync, openSync } from "node:fs"
import { promisify } from "node:util"

const synced = promisify(fsync)

/** Makes a new name inside `folder` durable. Only the sync waits for the disk, so only it is worth a thread. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = openSync(folder, "r")
  try {
    await synced(handle)
  } finally {
    closeSync(handle)
  }
}
