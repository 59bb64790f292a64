import { createReadStream } from "node:fs"
import { timingSafeEqual } from "node:crypto"

import { Blake2b, blake2b, nativeAvailable } from "@lamina/kernels/bytes"

import { sodium } from "./sodium.js"

/** Bytes of every hash of Lamina. */
export const HASH_BYTES = 32

/** From here on the addon is faster than libsodium in WebAssembly. */
const NATIVE_BYTES_MIN = 1024
const NATIVE_PARTS_MAX = 32

/** BLAKE2b-256 of the parts, one after another. */
export function hash(...parts: readonly Uint8Array[]): Uint8Array {
  const [first = new Uint8Array(0), ...rest] = parts
  if (rest.length === 0 && first.byteLength < NATIVE_BYTES_MIN)
    return sodium.crypto_generichash(HASH_BYTES, first, null)
  if (parts.length <= NATIVE_PARTS_MAX && nativeAvailable()) return blake2b(parts)
  const hasher = newHasher()
  for (const part of parts) hasher.update(part)
  return hasher.digest()
}

/** BLAKE2b-256 of bytes that come in pieces. Call digest() once, whatever happens: until then it may hold memory. */
interface Hasher {
  update(bytes: Uint8Array): void
  /** Ends the hash: the object is spent. */
  digest(): Uint8Array
}

export function newHasher(): Hasher {
  return nativeAvailable() ? new Blake2b() : new SodiumHasher()
}

/** Its state is libsodium's memory. */
class SodiumHasher implements Hasher {
  readonly #state = sodium.crypto_generichash_init(null, HASH_BYTES)

  update(bytes: Uint8Array): void {
    sodium.crypto_generichash_update(this.#state, bytes)
  }

  digest(): Uint8Array {
    return sodium.crypto_generichash_final(this.#state, HASH_BYTES)
  }
}

interface FileHashing {
  readonly signal?: AbortSignal
  /** Told the bytes of every piece. */
  readonly onPiece?: (bytes: number) => void
}

/** BLAKE2b-256 of a file, read in pieces. Rejects with the system's error, or the signal's reason. */
export async function hashFile(path: string, { onPiece, ...options }: FileHashing = {}): Promise<Uint8Array> {
  const hasher = newHasher()
  let result: Uint8Array
  try {
    for await (const piece of createReadStream(path, { highWaterMark: 1 << 20, ...options }) as AsyncIterable<Buffer>) {
      hasher.update(piece)
      onPiece?.(piece.byteLength)
    }
  } finally {
    result = hasher.digest() // also after a failure: it returns libsodium's memory
  }
  return result
}

/**
 * Keyed BLAKE2b-256 over "lamina/v1/" ‖ label ‖ 0x00 ‖ be64(length of context) ‖ context: every derived key of the
 * protocol.
 */
export function kdf(key: Uint8Array, label: string, context: Uint8Array): Uint8Array {
  const length = new Uint8Array(8)
  new DataView(length.buffer).setBigUint64(0, BigInt(context.byteLength))
  const message = concat(utf8(`lamina/v1/${label}`), Uint8Array.of(0), length, context)
  return sodium.crypto_generichash(HASH_BYTES, message, key)
}

/** Equality in time that depends on the lengths alone. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.byteLength === right.byteLength && timingSafeEqual(left, right)
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}

const encoder = new TextEncoder()

export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex")
}

/** Bytes of an even number of hexadecimal digits; undefined for anything else. */
export function fromHex(text: string): Uint8Array | undefined {
  return /^([0-9a-f]{2})*$/i.test(text) ? new Uint8Array(Buffer.from(text, "hex")) : undefined
}
