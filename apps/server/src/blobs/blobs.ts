import type { HashHex } from "../round/round.js"

/** Bytes by their content hash. What is put is durable when the promise resolves; what is read is verified. */
export interface Blobs {
  /** Stores the bytes (again: a no-op) and returns their hash. Throws STORAGE_FULL. */
  put(bytes: Uint8Array): Promise<HashHex>
  /**
   * The bytes, owned by the blobs: not to be written to. Throws NOT_FOUND, or BLOB_CORRUPT where the disk holds other
   * bytes.
   */
  read(hash: HashHex): Promise<Uint8Array>
}
