import { LaminaError } from "@lamina/protocol/errors"

/**
 * Told of a disk that failed to make data durable. It must end the process: after a failed fsync nobody knows what is
 * on disk.
 */
export type OnDiskFailure = (error: Error) => void

/**
 * Runs work on the disk. A full disk becomes STORAGE_FULL (the caller may come again later); an I/O error is handed to
 * `onFailure` and rethrown, never tried again.
 */
export async function onDisk<T>(work: () => Promise<T>, onFailure: OnDiskFailure): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (isDiskFull(error))
      throw new LaminaError("STORAGE_FULL", "expected room on the coordinator's disk, got none", {
        cause: error,
        hint: "free space in the data directory; the client comes again by itself",
      })
    const code = codeOf(error)
    if (
      error instanceof Error &&
      (code === "EIO" || code === "EROFS" || code.startsWith("SQLITE_IOERR") || code === "SQLITE_CORRUPT")
    )
      onFailure(error)
    throw error
  }
}

/** Whether the system or SQLite found no room. */
export function isDiskFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "EFBIG", "SQLITE_FULL"].includes(codeOf(error))
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : ""
}
