import { randomUUID } from "node:crypto"
import {
  closeSync,
  fsync,
  linkSync,
  mkdir,
  open,
  openSync,
  renameSync,
  statSync,
  unlinkSync,
  write,
  writeSync,
} from "node:fs"
import { dirname } from "node:path"
import { promisify } from "node:util"

/**
 * Files that are there whole or not at all, also after a power cut. What touches names that are there takes
 * microseconds and is done at once; a thread of the pool costs more. A thread does what waits for the disk, and makes
 * files and folders: a file system may take a tenth of a millisecond to find a place for one.
 */

const synced = promisify(fsync)
const opened = promisify(open)
const made = promisify(mkdir)
const written = promisify(write)

/** More is written by a thread of the pool. */
const AT_ONCE_BYTES_MAX = 64 * 1024

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

/**
 * Replaces `path` by `bytes`: beside it, fsync, rename, fsync of the folder, which is made (mode 0700) where it is not
 * there. Throws the system's errors, and then leaves nothing.
 */
export async function writeDurably(path: string, bytes: Uint8Array, mode = 0o600): Promise<void> {
  await publishNew(path, { bytes, mode }, renameSync)
}

/** The same, but a file that is there stays as it is: false. Of processes that start together one makes it. */
export function writeDurablyOnce(path: string, bytes: Uint8Array, mode = 0o600): Promise<boolean> {
  return publishNew(path, { bytes, mode }, (part) => {
    const isNew = linked(part, path)
    unlinkSync(part)
    return isNew
  })
}

async function publishNew<T>(
  path: string,
  { bytes, mode }: { bytes: Uint8Array; mode: number },
  publish: (part: string, path: string) => T,
): Promise<T> {
  const folder = dirname(path)
  if (!statSync(folder, { throwIfNoEntry: false })) await made(folder, { recursive: true, mode: 0o700 })
  const part = `${path}.${randomUUID()}.part`
  try {
    const file = await opened(part, "wx", mode)
    try {
      for (let rest = bytes; rest.byteLength > 0;) {
        const atOnce = rest.byteLength <= AT_ONCE_BYTES_MAX
        rest = rest.subarray(atOnce ? writeSync(file, rest) : (await written(file, rest)).bytesWritten) // may be short
      }
      await synced(file)
    } finally {
      closeSync(file)
    }
    const answer = publish(part, path)
    await syncFolder(folder)
    return answer
  } catch (error) {
    removePart(part)
    throw error
  }
}

/** The failure before it is the one to tell. */
function removePart(part: string): void {
  try {
    unlinkSync(part)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error
  }
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false
    throw error
  }
}
