import { join } from "node:path"

import { hash, toHex, writeDurably } from "@lamina/crypto"
import { encodeAdapter } from "@lamina/protocol"
import type { Adapter } from "@lamina/protocol"

import { onDisk } from "../store/disk-errors.js"

/** Writes an adapter into a folder of blobs, named by its content hash (hex), durably. Throws STORAGE_FULL. */
export async function keepAdapter(folder: string, adapter: Adapter): Promise<string> {
  const bytes = encodeAdapter(adapter)
  const name = toHex(hash(bytes))
  // a disk that fails fails the aggregation, which is tried again
  await onDisk(
    () => writeDurably(join(folder, name), bytes),
    () => undefined,
  )
  return name
}
