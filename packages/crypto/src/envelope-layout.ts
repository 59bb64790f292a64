import { LIMITS, messages } from "@lamina/protocol"
import type { EnvelopeHeader } from "@lamina/protocol"

import { TAG_BYTES } from "./aead.js"
import { concat, equalBytes, hash, kdf, utf8 } from "./hash.js"
import { STANZA_BYTES } from "./recipient.js"

/**
 * FFE1, the envelope of an update (docs/protocol.md, "Envelope"): "FFE1" ‖ u32le header length ‖ header ‖ stanzas ‖
 * segments. One recipient in this version. Segments follow STREAM (Hoang et al. 2015): 64 KiB, a counter and a last
 * flag in the nonce; the key commitment binds one key.
 */
export const MAGIC = utf8("FFE1")
export const ENVELOPE_VERSION = 1
export const ENVELOPE_SUITE = 1
export const SIGNATURE_LABEL = "lamina/v1/update"

/** How a plaintext of this length is cut and how long its envelope is. */
interface Layout {
  readonly segments: number
  readonly envelopeBytes: number
  /** Where the stanza and the segments begin. */
  readonly stanzaAt: number
  readonly segmentsAt: number
}

export function layoutOf(headerBytes: number, plaintextBytes: number): Layout {
  const segments = Math.max(1, Math.ceil(plaintextBytes / LIMITS.segmentBytes))
  const stanzaAt = MAGIC.byteLength + 4 + headerBytes
  const segmentsAt = stanzaAt + STANZA_BYTES
  return { segments, stanzaAt, segmentsAt, envelopeBytes: segmentsAt + plaintextBytes + segments * TAG_BYTES }
}

/** The keys an envelope's content key gives, bound to everything else in the header. */
export function keysOf(
  contentKey: Uint8Array,
  header: EnvelopeHeader,
): { payload: Uint8Array; commitment: Uint8Array } {
  const bare = messages.EnvelopeHeader.encode({ ...header, keyCommitment: new Uint8Array(0) })
  const context = concat(header.salt, hash(bare))
  return { payload: kdf(contentKey, "payload", context), commitment: kdf(contentKey, "commit", context) }
}

/** H over the container's manifest: the first 4 + n bytes, n their u32le; all bytes where there are fewer. */
export function manifestHashOf(plaintext: Uint8Array): Uint8Array {
  if (plaintext.byteLength < 4) return hash(plaintext)
  const length = new DataView(plaintext.buffer, plaintext.byteOffset).getUint32(0, true)
  return hash(plaintext.subarray(0, 4 + length))
}

export function be64(value: number): Uint8Array {
  const out = new Uint8Array(8)
  new DataView(out.buffer).setBigUint64(0, BigInt(value))
  return out
}

/** A header in its one canonical encoding, or undefined: two encodings of one header would have two hashes. */
export function parseHeader(bytes: Uint8Array): EnvelopeHeader | undefined {
  try {
    const header = messages.EnvelopeHeader.decode(bytes, { bytesMax: LIMITS.envelopeHeaderBytesMax })
    return equalBytes(messages.EnvelopeHeader.encode(header), bytes) ? header : undefined
  } catch {
    return undefined // the caller answers every defect alike
  }
}
