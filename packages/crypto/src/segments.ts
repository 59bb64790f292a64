import { openSegments as openNatively, sealSegments as sealNatively, sealsNatively } from "@lamina/kernels/bytes"
import { LIMITS } from "@lamina/protocol"

import { TAG_BYTES, decryptInto, encryptInto } from "./aead.js"

/** The content key of one envelope and what is authenticated with every segment. */
export interface SegmentKey {
  readonly key: Uint8Array
  readonly aad: Uint8Array
}

/**
 * Segments of 64 KiB as STREAM (Hoang et al. 2015) cuts and numbers them, each with its tag: natively where the addon
 * is there, with the same bytes as by Node's ciphers.
 */
export function sealSegments(sealing: SegmentKey, plaintext: Uint8Array, out: Uint8Array): void {
  if (sealsNatively()) sealNatively({ ...sealing, segmentBytes: LIMITS.segmentBytes }, plaintext, out)
  else sealBySegment(sealing, plaintext, out)
}

/** False, and `out` of no use, where a segment does not authenticate. `out` is as long as the plaintext. */
export function openSegments(sealing: SegmentKey, sealed: Uint8Array, out: Uint8Array): boolean {
  return sealsNatively()
    ? openNatively({ ...sealing, segmentBytes: LIMITS.segmentBytes }, sealed, out)
    : openBySegment(sealing, sealed, out)
}

/** The same without the addon. */
export function sealBySegment({ key, aad }: SegmentKey, plaintext: Uint8Array, out: Uint8Array): void {
  const last = lastOf(plaintext.byteLength)
  for (let i = 0; i <= last; i++) {
    const piece = plaintext.subarray(i * LIMITS.segmentBytes, (i + 1) * LIMITS.segmentBytes)
    const at = i * (LIMITS.segmentBytes + TAG_BYTES)
    const to = out.subarray(at, at + piece.byteLength + TAG_BYTES)
    encryptInto(to, { key, nonce: segmentNonce(i, last), aad }, piece)
  }
}

/** The same without the addon. */
export function openBySegment({ key, aad }: SegmentKey, sealed: Uint8Array, out: Uint8Array): boolean {
  const last = lastOf(out.byteLength)
  for (let i = 0; i <= last; i++) {
    const to = out.subarray(i * LIMITS.segmentBytes, (i + 1) * LIMITS.segmentBytes)
    const at = i * (LIMITS.segmentBytes + TAG_BYTES)
    const piece = sealed.subarray(at, at + to.byteLength + TAG_BYTES)
    if (!decryptInto(to, { key, nonce: segmentNonce(i, last), aad }, piece)) return false
  }
  return true
}

function lastOf(plaintextBytes: number): number {
  return Math.max(1, Math.ceil(plaintextBytes / LIMITS.segmentBytes)) - 1
}

/** Nonce of segment i: 11 bytes big-endian counter, then 1 for the last segment. */
function segmentNonce(index: number, last: number): Uint8Array {
  const nonce = new Uint8Array(12)
  new DataView(nonce.buffer).setUint32(7, index)
  nonce[11] = index === last ? 1 : 0
  return nonce
}
