import { randomBytes } from "node:crypto"

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
import { CEK_BYTES, wrapKey } from "./recipient.js"
import { sealSegments } from "./segments.js"
import { KEM_SEED_BYTES } from "./x-wing.js"

const SALT_BYTES = 24

export interface SealInput {
  readonly identity: Identity
  readonly federationId: Uint8Array
  /** RH, 32 bytes. */
  readonly roundHeaderHash: Uint8Array
  /** X-Wing public key of the round. */
  readonly recipientKey: Uint8Array
  readonly plaintext: Uint8Array
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

/** Seals in memory: the envelope and its parts. The plaintext is not changed. */
export function sealToBytes(
  input: SealInput,
  secrets: SealSecrets = freshSecrets(),
): SealedParts & { readonly envelope: Uint8Array } {
  const { identity, federationId, roundHeaderHash, plaintext } = input
  const context = concat(roundHeaderHash, identity.clientId)
  const { contentKey, salt, kemSeed } = secrets
  const stanza = wrapKey({ recipientKey: input.recipientKey, context, kemSeed }, contentKey)
  const bare: EnvelopeHeader = {
    version: ENVELOPE_VERSION,
    suite: ENVELOPE_SUITE,
    federationId,
    roundHeaderHash,
    clientId: identity.clientId,
    purpose: "update",
    manifestHash: manifestHashOf(plaintext),
    plaintextBytes: plaintext.byteLength,
    segmentBytes: LIMITS.segmentBytes,
    segments: layoutOf(0, plaintext.byteLength).segments,
    salt,
    stanzaRoot: rootOf([leafHash(stanza)]),
    keyCommitment: new Uint8Array(0),
    stanzas: 1,
  }
  const { payload, commitment } = keysOf(contentKey, bare)
  const header = messages.EnvelopeHeader.encode({ ...bare, keyCommitment: commitment })
  const envelope = assemble({ header, stanza, plaintext, payload }, input.memory ?? ownMemory)
  const leaves = leavesOf(envelope)
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

function assemble(
  parts: { header: Uint8Array; stanza: Uint8Array; plaintext: Uint8Array; payload: Uint8Array },
  memory: Memory,
): Uint8Array {
  const { header, stanza, plaintext, payload } = parts
  const { stanzaAt, segmentsAt, envelopeBytes } = layoutOf(header.byteLength, plaintext.byteLength)
  const out = memory(envelopeBytes)
  out.set(MAGIC)
  new DataView(out.buffer, out.byteOffset).setUint32(MAGIC.byteLength, header.byteLength, true)
  out.set(header, MAGIC.byteLength + 4)
  out.set(stanza, stanzaAt)
  sealSegments({ key: payload, aad: hash(header) }, plaintext, out.subarray(segmentsAt))
  return out
}
