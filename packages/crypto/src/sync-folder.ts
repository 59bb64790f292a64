import { closeSync, fsync, openSync } from "node:fs"
import { promisify } from "node:util"

const synced = promisify(fsync)

/**
 * Makes the names inside `folder` durable: a rename is when its folder is. Only the sync waits for the disk, so only it
 * is worth a thread. Windows has no such call and needs none.
 */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return
  const handle = openSync(folder, "r")
  try {
    await synced(handle)
  } finally {
    closeSync(handle)
  }
}
