import { chmodSync, mkdirSync, statSync } from "node:fs"

/** What a data folder holds is its owner's alone: who reads it reads updates (SECURITY.md). */
export const PRIVATE_FILE = 0o600
const PRIVATE_FOLDER = 0o700
const OTHERS = 0o077

/** Makes a folder of the data folder, or takes one that is there away from other users. Throws the system's errors. */
export function makePrivateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: PRIVATE_FOLDER })
  closeToOthers(path, PRIVATE_FOLDER)
}

/** Takes a file or folder that an earlier version left open away from other users; none is there: a no-op. */
export function closeToOthers(path: string, mode: number): void {
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found || (found.mode & OTHERS) === 0) return
  try {
    chmodSync(path, mode)
  } catch (error) {
    // of another user, as on a volume of a container: its owner says who may read it
    if (!["EPERM", "EROFS", "ENOTSUP"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error
  }
}
