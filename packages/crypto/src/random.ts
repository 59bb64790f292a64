import { randomFillSync } from "node:crypto"

/** To ask the system's generator costs as much for this many bytes as for 32. */
const POOL_BYTES = 2_048
const pool = new Uint8Array(POOL_BYTES)
let given = POOL_BYTES

/** Bytes that nobody can guess, from the system's generator. None stays here once it is given. */
export function randomBytes(length: number): Uint8Array {
  if (length > POOL_BYTES) return randomFillSync(new Uint8Array(length))
  if (given + length > POOL_BYTES) {
    randomFillSync(pool)
    given = 0
  }
  const bytes = pool.slice(given, given + length)
  pool.fill(0, given, given + length)
  given += length
  return bytes
}
