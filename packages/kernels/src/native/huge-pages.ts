import { addon } from "./addon.js"

/** On x86-64 and most arm64 systems. */
const HUGE_PAGE_BYTES = 2 * 2 ** 20

/** Below, the part before the first huge page would weigh too much where the allocator does touch it. */
const LARGE_BYTES = 2 * HUGE_PAGE_BYTES

/**
 * So many bytes of zeros; large ones begin where a huge page does, and have huge pages where the system grants any.
 * What lies before is never touched, so that it is address space and no memory.
 */
export function allocateFloats(bytes: number): Float32Array {
  if (bytes < LARGE_BYTES) return new Float32Array(bytes / 4)
  const memory = new Uint8Array(bytes + HUGE_PAGE_BYTES)
  return new Float32Array(memory.buffer, addon().preferHugePages(memory), bytes / 4)
}
