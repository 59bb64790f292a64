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
    const code = error instanceof Error && "code" in error ? String(error.code) : ""
    if (["ENOSPC", "EDQUOT", "EFBIG", "SQLITE_FULL"].includes(code))
      throw new LaminaError("STORAGE_FULL", "expected room on the coordinator's disk, got none", {
        cause: error,
        hint: "free space in the data directory; the client comes again by itself",
      })
    if (
      error instanceof Error &&
      (code === "EIO" || code === "EROFS" || code.startsWith("SQLITE_IOERR") || code === "SQLITE_CORRUPT")
    )
      onFailure(error)
    throw error
  }
}
