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
    if (error instanceof Error && (isIoError(codeOf(error)) || isDamage(codeOf(error)))) onFailure(error)
    throw error
  }
}

/** What a failure that `onDisk` handed over means for a data folder: FILE_UNREADABLE or FILE_UNWRITABLE. */
export function diskFailure(dataDir: string, cause: Error): LaminaError {
  if (isDamage(codeOf(cause)))
    return new LaminaError("FILE_UNREADABLE", `${dataDir}: expected lamina.db to be intact, got: ${cause.message}`, {
      cause,
      hint: "look at the disk, then restore the data folder from a backup (docs/server.md)",
    })
  return new LaminaError("FILE_UNWRITABLE", `${dataDir}: expected a disk that keeps its data, got: ${cause.message}`, {
    cause,
    hint: "look at the disk, then start again: what was acknowledged is kept",
  })
}

function isIoError(code: string): boolean {
  return code === "EIO" || code === "EROFS" || code.startsWith("SQLITE_IOERR")
}

function isDamage(code: string): boolean {
  return code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB"
}

/** Whether the system or SQLite found no room. */
export function isDiskFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "EFBIG", "SQLITE_FULL"].includes(codeOf(error))
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : ""
}
