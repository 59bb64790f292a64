import { LIMITS, messages, ownMemory } from "@lamina/protocol"
import type { EnvelopeHeader, Memory } from "@lamina/protocol"

import {
  ENVELOPE_SUITE,
  ENVELOPE_VERSION,
  MAGIC,
  SIGNATURE_LABEL,
  be64,
  keysOf,
  layoutOf,
  manifestHashOf,
} from "./envelope-layout.js"
import { concat, hash } from "./hash.js"
import { sign } from "./identity.js"
import type { Identity } from "./identity.js"
import { leafHash, leavesOf, rootOf } from "./merkle.js"
import { randomBytes } from "./random.js"
import { CEK_BYTES, wrapKey } from "./recipient.js"
import { sealSegments, sealSegmentsLater } from "./segments.js"
import { KEM_SEED_BYTES } from "./x-wing.js"

const SALT_BYTES = 24

export interface SealInput {
  readonly identity: Identity
  readonly federationId: Uint8Array
  /** RH, 32 bytes. */
  readonly roundHeaderHash: Uint8Array
  /** X-Wing public key of the round. */
  readonly recipientKey: Uint8Array
  /** Whole or in parts that follow one another, the manifest in the first. */
  readonly plaintext: Uint8Array | readonly Uint8Array[]
  /** Where the envelope goes; its own memory by default. */
  readonly memory?: Memory
}

/** Secrets of one envelope: fresh for every envelope, given only by test vectors. */
export interface SealSecrets {
  readonly contentKey: Uint8Array
  readonly salt: Uint8Array
  readonly kemSeed: Uint8Array
}

/** What UploadOpen needs of an envelope. */
export interface SealedParts {
  readonly header: Uint8Array
  readonly leaves: readonly Uint8Array[]
  readonly root: Uint8Array
  readonly signature: Uint8Array
  /** Length of the envelope. */
  readonly bytes: number
}

type Sealed = SealedParts & { readonly envelope: Uint8Array }

/** Seals in memory: the envelope and its parts. The plaintext is not changed. */
export function sealToBytes(input: SealInput, secrets: SealSecrets = freshSecrets()): Sealed {
  const begun = begin(input, secrets)
  const { sealing, envelope, segmentsAt } = begun
  const { plaintext } = input
  const whole = plaintext instanceof Uint8Array ? plaintext : concat(...plaintext)
  sealSegments(sealing, whole, envelope.subarray(segmentsAt))
  return signed(input, begun, leavesOf(envelope))
}

/**
 * The same; what is more than a chunk on a thread of Node's pool, where the addon is there, and the plaintext must stay
 * as it is until then.
 */
export async function sealLater(input: SealInput, secrets: SealSecrets = freshSecrets()): Promise<Sealed> {
  if (bytesOf(partsOf(input)) <= LIMITS.chunkBytes) return sealToBytes(input, secrets)
  const begun = begin(input, secrets)
  const { sealing, envelope, segmentsAt: at } = begun
  return signed(input, begun, await sealSegmentsLater(sealing, partsOf(input), { envelope, at }))
}

function partsOf({ plaintext }: SealInput): readonly Uint8Array[] {
  return plaintext instanceof Uint8Array ? [plaintext] : plaintext
}

function bytesOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { byteLength }) => sum + byteLength, 0)
}

/** An envelope in which the segments are still to come. */
interface Begun {
  readonly header: Uint8Array
  readonly envelope: Uint8Array
  readonly segmentsAt: number
  readonly sealing: { readonly key: Uint8Array; readonly aad: Uint8Array }
}

function begin(input: SealInput, { contentKey, salt, kemSeed }: SealSecrets): Begun {
  const { identity, federationId, roundHeaderHash, memory = ownMemory } = input
  const parts = partsOf(input)
  const plaintextBytes = bytesOf(parts)
  const context = concat(roundHeaderHash, identity.clientId)
  const stanza = wrapKey({ recipientKey: input.recipientKey, context, kemSeed }, contentKey)
  const bare: EnvelopeHeader = {
    version: ENVELOPE_VERSION,
    suite: ENVELOPE_SUITE,
    federationId,
    roundHeaderHash,
    clientId: identity.clientId,
    purpose: "update",
    manifestHash: manifestHashOf(parts[0] ?? new Uint8Array(0)),
    plaintextBytes,
    segmentBytes: LIMITS.segmentBytes,
    segments: layoutOf(0, plaintextBytes).segments,
    salt,
    stanzaRoot: rootOf([leafHash(stanza)]),
    keyCommitment: new Uint8Array(0),
    stanzas: 1,
  }
  const { payload, commitment } = keysOf(contentKey, bare)
  const header = messages.EnvelopeHeader.encode({ ...bare, keyCommitment: commitment })
  const { stanzaAt, segmentsAt, envelopeBytes } = layoutOf(header.byteLength, plaintextBytes)
  const envelope = memory(envelopeBytes)
  envelope.set(MAGIC)
  new DataView(envelope.buffer, envelope.byteOffset).setUint32(MAGIC.byteLength, header.byteLength, true)
  envelope.set(header, MAGIC.byteLength + 4)
  envelope.set(stanza, stanzaAt)
  return { header, envelope, segmentsAt, sealing: { key: payload, aad: hash(header) } }
}

function signed({ identity, roundHeaderHash }: SealInput, { header, envelope }: Begun, leaves: Uint8Array[]): Sealed {
  const root = rootOf(leaves)
  const signature = sign(identity, SIGNATURE_LABEL, roundHeaderHash, hash(header), root, be64(envelope.byteLength))
  return { header, leaves, root, signature, bytes: envelope.byteLength, envelope }
}

/** In one call: each costs as much as a few thousand bytes do. */
function freshSecrets(): SealSecrets {
  const bytes = randomBytes(CEK_BYTES + SALT_BYTES + KEM_SEED_BYTES)
  const [salt, kemSeed] = [bytes.subarray(CEK_BYTES, CEK_BYTES + SALT_BYTES), bytes.subarray(CEK_BYTES + SALT_BYTES)]
  return { contentKey: bytes.subarray(0, CEK_BYTES), salt, kemSeed }
}
