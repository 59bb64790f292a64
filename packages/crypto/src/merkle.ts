import { blake2bLeaves, blake2bLeavesLater, nativeAvailable } from "@lamina/kernels/bytes"
import { LIMITS } from "@lamina/protocol"

import { HASH_BYTES, hash } from "./hash.js"

const LEAF = Uint8Array.of(0)
const NODE = Uint8Array.of(1)

/** H(0x00 ‖ chunk). */
export function leafHash(chunk: Uint8Array): Uint8Array {
  return nativeAvailable() ? blake2bLeaves(chunk, Math.max(1, chunk.byteLength)) : hash(LEAF, chunk)
}

/** H(0x01 ‖ left ‖ right) upwards; a last odd hash of a level goes up as it is. At least one leaf. */
export function rootOf(leaves: readonly Uint8Array[]): Uint8Array {
  let level = [...leaves]
  while (level.length > 1) {
    const next: Uint8Array[] = []
    for (let i = 0; i < level.length; i += 2) {
      const left = level[i] as Uint8Array
      const right = level[i + 1]
      next.push(right ? hash(NODE, left, right) : left)
    }
    level = next
  }
  const [root] = level
  if (!root) throw new RangeError("a tree needs at least one leaf")
  return root
}

/** Leaves of bytes cut into chunks of LIMITS.chunkBytes; empty bytes are one empty chunk. */
export function leavesOf(bytes: Uint8Array): Uint8Array[] {
  if (nativeAvailable()) return eachHash(blake2bLeaves(bytes, LIMITS.chunkBytes))
  const leaves: Uint8Array[] = []
  for (let at = 0; at === 0 || at < bytes.byteLength; at += LIMITS.chunkBytes)
    leaves.push(leafHash(bytes.subarray(at, at + LIMITS.chunkBytes)))
  return leaves
}

/** The same on a thread of Node's pool, where the addon is there; `bytes` are left alone so long. */
export async function leavesLater(bytes: Uint8Array): Promise<Uint8Array[]> {
  return nativeAvailable() ? eachHash(await blake2bLeavesLater(bytes, LIMITS.chunkBytes)) : leavesOf(bytes)
}

/** Hashes that lie one after another. */
export function eachHash(hashes: Uint8Array): Uint8Array[] {
  const each = Array.from({ length: hashes.byteLength / HASH_BYTES }, (_, i) => i * HASH_BYTES)
  return each.map((at) => hashes.subarray(at, at + HASH_BYTES))
}
