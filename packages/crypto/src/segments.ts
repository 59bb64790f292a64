import {
  openSegments as openNatively,
  openSegmentsLater as openNativelyLater,
  sealSegments as sealNatively,
  sealSegmentsLater as sealNativelyLater,
  sealsNatively,
} from "@lamina/kernels/bytes"
import type { SegmentKey as NativeKey } from "@lamina/kernels/bytes"
import { LIMITS } from "@lamina/protocol"

import { TAG_BYTES, decryptInto, encryptInto } from "./aead.js"
import { layoutOf } from "./envelope-layout.js"
import { concat } from "./hash.js"
import { eachHash, leavesOf } from "./merkle.js"

/** The content key of one envelope and what is authenticated with every segment. */
type SegmentKey = Omit<NativeKey, "segmentBytes">

/**
 * Segments of 64 KiB as STREAM (Hoang et al. 2015) cuts and numbers them, each with its tag: natively where the addon
 * is there, with the same bytes as by Node's ciphers.
 */
export function sealSegments(sealing: SegmentKey, plaintext: Uint8Array, out: Uint8Array): void {
  if (sealsNatively()) sealNatively({ ...sealing, segmentBytes: LIMITS.segmentBytes }, plaintext, out)
  else sealBySegment(sealing, plaintext, out)
}

/**
 * `sealSegments` of parts that follow one another into an envelope from `at` to its end, and the leaves of all of it;
 * on a thread of Node's pool where the addon is there. Plaintext and envelope are left alone so long.
 */
export async function sealSegmentsLater(
  sealing: SegmentKey,
  plaintext: readonly Uint8Array[],
  { envelope, at }: { envelope: Uint8Array; at: number },
): Promise<Uint8Array[]> {
  if (!sealsNatively()) {
    sealBySegment(sealing, concat(...plaintext), envelope.subarray(at))
    return leavesOf(envelope)
  }
  const place = { whole: envelope, at, pieceBytes: LIMITS.chunkBytes }
  return eachHash(await sealNativelyLater({ ...sealing, segmentBytes: LIMITS.segmentBytes }, plaintext, place))
}

/** False, and `out` of no use, where a segment does not authenticate. `out` is as long as the plaintext. */
export function openSegments(sealing: SegmentKey, sealed: Uint8Array, out: Uint8Array): boolean {
  return sealsNatively()
    ? openNatively({ ...sealing, segmentBytes: LIMITS.segmentBytes }, sealed, out)
    : openBySegment(sealing, sealed, out)
}

/**
 * The same on a thread of Node's pool, where the addon is there; `sealed` and `out` are left alone so long. `peaks`: of
 * every segment the largest magnitude of its words as f32 (NaN above all), where somebody looked.
 */
export async function openSegmentsLater(
  sealing: SegmentKey,
  sealed: Uint8Array,
  out: Uint8Array,
): Promise<{ authentic: boolean; peaks?: Float32Array }> {
  if (!sealsNatively()) return { authentic: openBySegment(sealing, sealed, out) }
  const peaks = new Float32Array(layoutOf(0, out.byteLength).segments)
  return {
    authentic: await openNativelyLater({ ...sealing, segmentBytes: LIMITS.segmentBytes }, sealed, { out, peaks }),
    peaks,
  }
}

/** The same without the addon. */
export function sealBySegment({ key, aad }: SegmentKey, plaintext: Uint8Array, out: Uint8Array): void {
  for (const { nonce, plain, sealed } of segmentsOf(plaintext, out)) encryptInto(sealed, { key, nonce, aad }, plain)
}

/** The same without the addon. */
export function openBySegment({ key, aad }: SegmentKey, from: Uint8Array, out: Uint8Array): boolean {
  for (const { nonce, plain, sealed } of segmentsOf(out, from))
    if (!decryptInto(plain, { key, nonce, aad }, sealed)) return false
  return true
}

interface Segment {
  /** 11 bytes big-endian counter, then 1 for the last segment. */
  readonly nonce: Uint8Array
  readonly plain: Uint8Array
  readonly sealed: Uint8Array
}

/** Every segment, as views of the plaintext and of what it is sealed to. */
function* segmentsOf(plaintext: Uint8Array, sealed: Uint8Array): Generator<Segment> {
  const { segments } = layoutOf(0, plaintext.byteLength)
  for (let i = 0; i < segments; i++) {
    const plain = plaintext.subarray(i * LIMITS.segmentBytes, (i + 1) * LIMITS.segmentBytes)
    const at = i * (LIMITS.segmentBytes + TAG_BYTES)
    const nonce = new Uint8Array(12)
    new DataView(nonce.buffer).setUint32(7, i)
    nonce[11] = i === segments - 1 ? 1 : 0
    yield { nonce, plain, sealed: sealed.subarray(at, at + plain.byteLength + TAG_BYTES) }
  }
}
