import { LIMITS, LaminaError, ownMemory } from "@lamina/protocol"
import type { EnvelopeHeader, Memory, UploadOpen } from "@lamina/protocol"

import {
  ENVELOPE_SUITE,
  ENVELOPE_VERSION,
  MAGIC,
  SIGNATURE_LABEL,
  be64,
  keysOf,
  layoutOf,
  manifestHashOf,
  parseHeader,
} from "./envelope-layout.js"
import { concat, equalBytes, hash } from "./hash.js"
import { verify } from "./identity.js"
import { leafHash, rootOf } from "./merkle.js"
import { STANZA_BYTES, unwrapKey } from "./recipient.js"
import { openSegments, openSegmentsLater } from "./segments.js"

/** Where an envelope must come from. */
export interface Expected {
  readonly federationId: Uint8Array
  readonly roundHeaderHash: Uint8Array
  readonly clientId: Uint8Array
}

/**
 * What can be known of an upload before its first chunk: header, sizes, round, sender and signature fit together.
 * Returns the Merkle root that names the envelope. Throws ROUND_MISMATCH for another round's header, ENVELOPE_REJECTED
 * for everything else alike.
 */
export function checkOpen(
  open: Pick<UploadOpen, "header" | "leaves" | "signature" | "envelopeBytes">,
  senderPublicKey: Uint8Array,
  expected: Expected,
): { readonly root: Uint8Array; readonly header: EnvelopeHeader } {
  const header = acceptHeader(open.header, expected)
  const { envelopeBytes } = layoutOf(open.header.byteLength, header.plaintextBytes)
  const chunks = Math.ceil(envelopeBytes / LIMITS.chunkBytes)
  if (envelopeBytes !== open.envelopeBytes || chunks !== open.leaves.length) throw rejected()
  const root = rootOf(open.leaves)
  const parts = [expected.roundHeaderHash, hash(open.header), root, be64(envelopeBytes)]
  if (!verify(senderPublicKey, open.signature, SIGNATURE_LABEL, ...parts)) throw rejected()
  return { root, header }
}

interface Opening {
  readonly recipientSecretKey: Uint8Array
  readonly expected: Expected
}

/** What opens one envelope. */
export interface EnvelopeKey {
  readonly headerBytes: Uint8Array
  readonly header: EnvelopeHeader
  readonly sealing: { readonly key: Uint8Array; readonly aad: Uint8Array }
}

/**
 * The plaintext of a whole envelope whose leaves were checked. ROUND_MISMATCH, else ENVELOPE_REJECTED for every failure
 * alike.
 */
export function openEnvelope(envelope: Uint8Array, opening: Opening): Uint8Array {
  return openAtOnce(envelope, unwrapEnvelope(envelope, opening), ownMemory)
}

/** Its key, by what the recipient holds. Throws as openEnvelope does; no segment is looked at. */
export function unwrapEnvelope(envelope: Uint8Array, { recipientSecretKey, expected }: Opening): EnvelopeKey {
  const headerBytes = Uint8Array.from(headerOf(envelope))
  const header = acceptHeader(headerBytes, expected)
  const { stanzaAt } = placesIn(envelope, { headerBytes, header })
  const stanza = envelope.subarray(stanzaAt, stanzaAt + STANZA_BYTES)
  if (!equalBytes(rootOf([leafHash(stanza)]), header.stanzaRoot)) throw rejected()
  const context = concat(header.roundHeaderHash, header.clientId)
  const contentKey = unwrapKey({ secretKey: recipientSecretKey, context }, stanza)
  if (!contentKey) throw rejected()
  const { payload, commitment } = keysOf(contentKey, header)
  if (!equalBytes(commitment, header.keyCommitment)) throw rejected()
  return { headerBytes, header, sealing: { key: payload, aad: hash(headerBytes) } }
}

/** What was in an envelope. */
export interface OpenedEnvelope {
  readonly plaintext: Uint8Array
  /** False where no value of this view of the plaintext is NaN, or further than `max` from 0; true: look at it. */
  mayExceed(values: Float32Array, max: number): boolean
}

/**
 * The plaintext by the envelope's key, in `memory`; what is more than a chunk on a thread of Node's pool, where the
 * addon is there. Throws ENVELOPE_REJECTED.
 */
export async function openLater(envelope: Uint8Array, key: EnvelopeKey, memory: Memory): Promise<OpenedEnvelope> {
  if (envelope.byteLength <= LIMITS.chunkBytes)
    return { plaintext: openAtOnce(envelope, key, memory), mayExceed: () => true }
  const { segments, plaintext } = begin(envelope, key, memory)
  const { authentic, peaks } = await openSegmentsLater(key.sealing, segments, plaintext)
  opened(key, plaintext, authentic)
  return { plaintext, mayExceed: (values, max) => !peaks || exceeds(peaks, plaintext, values, max) }
}

/** Whether a segment that some of these values lie in does. */
function exceeds(peaks: Float32Array, plaintext: Uint8Array, values: Float32Array, max: number): boolean {
  const from = values.byteOffset - plaintext.byteOffset
  const end = from + values.byteLength
  const isView = values.buffer === plaintext.buffer && from >= 0 && from % 4 === 0 && end <= plaintext.byteLength
  const segments = peaks.subarray(Math.floor(from / LIMITS.segmentBytes), Math.ceil(end / LIMITS.segmentBytes))
  return !isView || !segments.every((peak) => peak <= max)
}

function openAtOnce(envelope: Uint8Array, key: EnvelopeKey, memory: Memory): Uint8Array {
  const { segments, plaintext } = begin(envelope, key, memory)
  return opened(key, plaintext, openSegments(key.sealing, segments, plaintext))
}

function begin(
  envelope: Uint8Array,
  key: EnvelopeKey,
  memory: Memory,
): { segments: Uint8Array; plaintext: Uint8Array } {
  if (!equalBytes(headerOf(envelope), key.headerBytes)) throw rejected()
  const { segmentsAt } = placesIn(envelope, key)
  return { segments: envelope.subarray(segmentsAt), plaintext: memory(key.header.plaintextBytes) }
}

function placesIn(
  envelope: Uint8Array,
  { headerBytes, header }: Pick<EnvelopeKey, "headerBytes" | "header">,
): ReturnType<typeof layoutOf> {
  const layout = layoutOf(headerBytes.byteLength, header.plaintextBytes)
  if (envelope.byteLength !== layout.envelopeBytes) throw rejected()
  return layout
}

function opened({ header }: EnvelopeKey, plaintext: Uint8Array, authentic: boolean): Uint8Array {
  if (!authentic || !equalBytes(manifestHashOf(plaintext), header.manifestHash)) throw rejected()
  return plaintext
}

/** The header bytes of an envelope, by its magic and length. ENVELOPE_REJECTED. */
export function headerOf(envelope: Uint8Array): Uint8Array {
  const start = MAGIC.byteLength + 4
  if (envelope.byteLength < start || !equalBytes(envelope.subarray(0, MAGIC.byteLength), MAGIC)) throw rejected()
  const length = new DataView(envelope.buffer, envelope.byteOffset).getUint32(MAGIC.byteLength, true)
  if (length > LIMITS.envelopeHeaderBytesMax || start + length > envelope.byteLength) throw rejected()
  return envelope.subarray(start, start + length)
}

function acceptHeader(bytes: Uint8Array, expected: Expected): EnvelopeHeader {
  const header = parseHeader(bytes)
  if (!header) throw rejected()
  if (!equalBytes(header.roundHeaderHash, expected.roundHeaderHash))
    throw new LaminaError("ROUND_MISMATCH", "the envelope is for another round")
  const fits =
    header.version === ENVELOPE_VERSION &&
    header.suite === ENVELOPE_SUITE &&
    header.stanzas === 1 &&
    header.segmentBytes === LIMITS.segmentBytes &&
    header.plaintextBytes <= LIMITS.leavesMax * LIMITS.chunkBytes &&
    header.segments === layoutOf(0, header.plaintextBytes).segments &&
    equalBytes(header.federationId, expected.federationId) &&
    equalBytes(header.clientId, expected.clientId)
  if (!fits) throw rejected()
  return header
}

function rejected(): LaminaError {
  return new LaminaError("ENVELOPE_REJECTED", "envelope rejected")
}
