import { LaminaError } from "@lamina/protocol/errors"

import { TAG_BYTES, decryptInto, encryptInto } from "./aead.js"
import { concat, kdf } from "./hash.js"
import { sodium } from "./sodium.js"
import { decapsulate, encapsulate, RECIPIENT_KEY_BYTES } from "./x-wing.js"

/**
 * X-Wing (X25519 + ML-KEM-768): the key pair an envelope's content key is wrapped to. Secret 32 bytes, public 1,216.
 */
export interface RecipientKey {
  readonly publicKey: Uint8Array
  readonly secretKey: Uint8Array
}

const KEM_BYTES = 1_120
export const CEK_BYTES = 32
/** X-Wing ciphertext ‖ sealed content key. */
export const STANZA_BYTES = KEM_BYTES + CEK_BYTES + TAG_BYTES

export function generateRecipientKey(): RecipientKey {
  const { publicKey, privateKey } = sodium.crypto_kem_xwing_keypair()
  return { publicKey, secretKey: privateKey }
}

/** The pair of a 32-byte seed: for test vectors. */
export function recipientKeyFromSeed(seed: Uint8Array): RecipientKey {
  const { publicKey, privateKey } = sodium.crypto_kem_xwing_seed_keypair(seed)
  return { publicKey, secretKey: privateKey }
}

/**
 * Wraps a content key for one recipient. `context` = RH ‖ client id: a stanza moved to another round or sender does not
 * open. FRAME_MALFORMED for a recipient key that is none (it comes in a round header).
 */
export function wrapKey(
  { recipientKey, context, kemSeed }: { recipientKey: Uint8Array; context: Uint8Array; kemSeed?: Uint8Array },
  contentKey: Uint8Array,
): Uint8Array {
  const { ciphertext, sharedSecret } = encapsulated(recipientKey, kemSeed)
  const out = new Uint8Array(STANZA_BYTES)
  out.set(ciphertext)
  encryptInto(out.subarray(KEM_BYTES), wrapping(sharedSecret, context), contentKey)
  return out
}

function encapsulated(
  recipientKey: Uint8Array,
  seed: Uint8Array | undefined,
): { ciphertext: Uint8Array; sharedSecret: Uint8Array } {
  try {
    return encapsulate(recipientKey, seed)
  } catch (cause) {
    const expected = `an X-Wing public key of ${RECIPIENT_KEY_BYTES} bytes`
    throw new LaminaError(
      "FRAME_MALFORMED",
      `recipient key: expected ${expected}, got ${recipientKey.byteLength} other bytes`,
      { cause },
    )
  }
}

/** The content key of a stanza, or undefined when it is not for this recipient or this context. */
export function unwrapKey(
  { secretKey, context }: { secretKey: Uint8Array; context: Uint8Array },
  stanza: Uint8Array,
): Uint8Array | undefined {
  if (stanza.byteLength !== STANZA_BYTES) return undefined
  const sharedSecret = sharedSecretOf(stanza.subarray(0, KEM_BYTES), secretKey)
  if (!sharedSecret) return undefined
  const contentKey = new Uint8Array(CEK_BYTES)
  return decryptInto(contentKey, wrapping(sharedSecret, context), stanza.subarray(KEM_BYTES)) ? contentKey : undefined
}

/** undefined for a ciphertext whose X25519 part is of small order. */
function sharedSecretOf(ciphertext: Uint8Array, secretKey: Uint8Array): Uint8Array | undefined {
  try {
    return decapsulate(ciphertext, secretKey)
  } catch {
    return undefined
  }
}

/**
 * The shared secret is fresh for every stanza, so the nonce may be zero. The last byte of the context is the stanza's
 * index, 0.
 */
function wrapping(
  sharedSecret: Uint8Array,
  context: Uint8Array,
): { key: Uint8Array; nonce: Uint8Array; aad: Uint8Array } {
  return {
    key: kdf(sharedSecret, "cek", concat(context, Uint8Array.of(0))),
    nonce: new Uint8Array(12),
    aad: new Uint8Array(0),
  }
}
