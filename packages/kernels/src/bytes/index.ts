import { addon, nativeAvailable } from "../native/addon.js"
import { checkStatus } from "../native/status.js"

export { nativeAvailable } from "../native/addon.js"

const HASH_BYTES = 32
/** sizeof(Blake2b) of native/blake2b.hpp. */
const STATE_BYTES = 208

/** What all segments of one message share. */
export interface SegmentKey {
  /** 32 bytes; seals one message. */
  readonly key: Uint8Array
  /** Authenticated with every segment; at most 1 MiB. */
  readonly aad: Uint8Array
  /** Bytes of plaintext in a segment. */
  readonly segmentBytes: number
}

let seals: boolean | undefined

/** Whether the addon is there and finds an OpenSSL in the process to seal with (native/segments.cpp). */
export function sealsNatively(): boolean {
  return (seals ??= nativeAvailable() && addon().hasSegments())
}

/** BLAKE2b-256 (RFC 7693), 32 bytes, of the parts one after another; at most 32 of them. */
export function blake2b(parts: readonly Uint8Array[]): Uint8Array {
  const hash = new Uint8Array(HASH_BYTES)
  checkStatus("blake2b", addon().blake2b(hash, parts.length, ...parts))
  return hash
}

/** BLAKE2b-256 of bytes that come in pieces. */
export class Blake2b {
  readonly #state = new Uint8Array(STATE_BYTES)

  constructor() {
    checkStatus("blake2bStart", addon().blake2bStart(this.#state))
  }

  update(bytes: Uint8Array): void {
    checkStatus("blake2bUpdate", addon().blake2bUpdate(this.#state, bytes))
  }

  digest(): Uint8Array {
    const hash = new Uint8Array(HASH_BYTES)
    checkStatus("blake2bFinish", addon().blake2bFinish(this.#state, hash))
    return hash
  }
}

/**
 * BLAKE2b-256 of 0x00 ‖ piece, of every `pieceBytes` of `bytes` (the last may be shorter; empty bytes are one empty
 * piece), 32 bytes each, one after another: up to eight pieces side by side in the lanes of a vector, and those by
 * all threads.
 */
export function blake2bLeaves(bytes: Uint8Array, pieceBytes: number): Uint8Array {
  const hashes = hashesOf(bytes, pieceBytes)
  checkStatus("blake2bLeaves", addon().blake2bLeaves(bytes, pieceBytes, hashes))
  return hashes
}

/** The same on a thread of Node's pool; `bytes` must stay as they are until it is done. */
export async function blake2bLeavesLater(bytes: Uint8Array, pieceBytes: number): Promise<Uint8Array> {
  const hashes = hashesOf(bytes, pieceBytes)
  checkStatus("blake2bLeaves", await addon().blake2bLeavesLater(bytes, pieceBytes, hashes))
  return hashes
}

/**
 * ChaCha20-Poly1305 (RFC 8439) of every segment of `plaintext` into `out`, each followed by its tag of 16 bytes; the
 * nonce is STREAM's (Hoang et al. 2015): 11 bytes that count, then 1 for the last segment. Empty plaintext is one empty
 * segment; more than eight are sealed by all threads. Throws KERNEL_SHAPE where `out` is not plaintext and tags long.
 */
export function sealSegments({ key, aad, segmentBytes }: SegmentKey, plaintext: Uint8Array, out: Uint8Array): void {
  checkStatus("sealSegments", addon().sealSegments(key, aad, segmentBytes, plaintext, out))
}

/**
 * The plaintext of `sealed` into `out`; false, and `out` zeroed, where a segment does not authenticate, and where the
 * lengths do not fit.
 */
export function openSegments({ key, aad, segmentBytes }: SegmentKey, sealed: Uint8Array, out: Uint8Array): boolean {
  return addon().openSegments(key, aad, segmentBytes, sealed, out)
}

/**
 * `sealSegments` of parts that follow one another, to the end of `whole` from `at` on, then `blake2bLeaves` of `whole`;
 * on a thread of Node's pool, and nobody may write to what is given until it is done.
 */
export async function sealSegmentsLater(
  { key, aad, segmentBytes }: SegmentKey,
  plaintext: readonly Uint8Array[],
  { whole, at, pieceBytes }: { whole: Uint8Array; at: number; pieceBytes: number },
): Promise<Uint8Array> {
  const hashes = hashesOf(whole, pieceBytes)
  // a list of its own: it keeps the parts alive
  const sealing = [key, aad, segmentBytes, [...plaintext], whole.subarray(at)] as const
  checkStatus("sealSegments", await addon().sealSegmentsLater(...sealing, whole, pieceBytes, hashes))
  return hashes
}

/**
 * The same on a thread of Node's pool. `peaks` gets of every segment (one of empty bytes) the largest magnitude of its
 * words read as f32, NaN where one is that.
 */
export async function openSegmentsLater(
  { key, aad, segmentBytes }: SegmentKey,
  sealed: Uint8Array,
  { out, peaks }: { out: Uint8Array; peaks: Float32Array },
): Promise<boolean> {
  return (await addon().openSegmentsLater(key, aad, segmentBytes, sealed, out, peaks)) === 0
}

/**
 * From here on the threads of Node's pool that do such work later give way to the event loop, which everybody waits
 * for: one that is woken takes its turn instead of interrupting a thread that runs (SCHED_BATCH of Linux; its share of
 * the processors stays as it is). False where the system has no such thing, or the addon is not there.
 */
export function letPoolGiveWay(): boolean {
  return nativeAvailable() && addon().poolGivesWay()
}

function hashesOf(bytes: Uint8Array, pieceBytes: number): Uint8Array {
  return new Uint8Array(HASH_BYTES * Math.max(1, Math.ceil(bytes.byteLength / pieceBytes)))
}
