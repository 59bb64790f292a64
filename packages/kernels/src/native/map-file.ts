import { addon, nativeAvailable } from "./addon.js"

/** glibc gives every allocation above this pages of its own (DEFAULT_MMAP_THRESHOLD_MAX); smaller files are read. */
const MAPPED_BYTES_MIN = 32 * 2 ** 20
/** Two of the largest pages Linux has as its ordinary ones. */
const SLACK_BYTES = 2 * 65_536

/** A file in memory: its bytes are those of `buffer` from `start` on. */
export interface MappedFile {
  readonly buffer: SharedArrayBuffer
  /** A multiple of 16. */
  readonly start: number
}

/**
 * Maps the first `bytes` of an open file into a SharedArrayBuffer (docs/decisions/0009-mapped-weights.md): pages are
 * read when they are touched, belong to the system's file cache, and are shared with other processes; writes stay in
 * this process. The file may be closed afterwards. Undefined where that is not possible: not Linux with glibc, no
 * addon, another allocator, a file of less than 32 MiB. A file that another process shortens while it is mapped ends
 * this one by a signal.
 */
export function mapFile(fd: number, bytes: number): MappedFile | undefined {
  if (process.platform !== "linux" || bytes < MAPPED_BYTES_MIN || !nativeAvailable()) return undefined
  const buffer = allocate(bytes + SLACK_BYTES)
  if (buffer === undefined) return undefined
  const start = addon().mapFile(fd, bytes, buffer.byteLength, new Uint8Array(buffer, 0, 1))
  return start < 0 ? undefined : { buffer, start }
}

/** Undefined where address space is limited; reading the file piece by piece may still succeed. */
function allocate(bytes: number): SharedArrayBuffer | undefined {
  try {
    return new SharedArrayBuffer(bytes)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}
