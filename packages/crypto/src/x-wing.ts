import { createHash } from "node:crypto"

import { publicPoint, sharedPoint } from "./curve.js"
import { concat, equalBytes } from "./hash.js"
import { randomBytes } from "./random.js"
import { sodium } from "./sodium.js"

export const RECIPIENT_KEY_BYTES = 1_216
export const KEM_SEED_BYTES = 64
const MLKEM_PUBLIC_KEY_BYTES = 1_184
const MLKEM_SEED_BYTES = 64
const MLKEM_ENCAPSULATION_SEED_BYTES = 32
const MLKEM_CIPHERTEXT_BYTES = 1_088
const X25519_BYTES = 32
/** The label of X-Wing: \.//^\ */
const LABEL = Uint8Array.of(0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c)

/** What a secret key of 32 bytes stands for. */
interface Expanded {
  readonly secretKey: Uint8Array
  /** ML-KEM-768, 2,400 bytes. */
  readonly mlkem: Uint8Array
  readonly x25519: Uint8Array
  readonly x25519PublicKey: Uint8Array
}

/** A round's envelopes are all to one key, and expanding it takes as long as using it. */
let last: Expanded | undefined

/**
 * X-Wing (draft-connolly-cfrg-xwing-kem): a ciphertext of 1,120 bytes for a public key of 1,216, and the shared secret,
 * 32 bytes. ML-KEM-768 by libsodium in WebAssembly, X25519 by the fastest libsodium there is. `seed`: 64 bytes, for
 * test vectors. Throws for bytes that are no public key.
 */
export function encapsulate(
  publicKey: Uint8Array,
  seed: Uint8Array = randomBytes(KEM_SEED_BYTES),
): { ciphertext: Uint8Array; sharedSecret: Uint8Array } {
  if (publicKey.byteLength !== RECIPIENT_KEY_BYTES)
    throw new RangeError(`expected a public key of ${RECIPIENT_KEY_BYTES} bytes, got ${publicKey.byteLength}`)
  const theirs = publicKey.subarray(MLKEM_PUBLIC_KEY_BYTES)
  const secret = seed.subarray(MLKEM_ENCAPSULATION_SEED_BYTES)
  const mlkem = sodium.crypto_kem_mlkem768_enc_deterministic(
    publicKey.subarray(0, MLKEM_PUBLIC_KEY_BYTES),
    seed.subarray(0, MLKEM_ENCAPSULATION_SEED_BYTES),
  )
  const ours = publicPoint(secret)
  const secrets = [mlkem.sharedSecret, sharedPoint(secret, theirs)] as const
  return { ciphertext: concat(mlkem.ciphertext, ours), sharedSecret: combined(secrets, ours, theirs) }
}

/** The shared secret of a ciphertext of 1,120 bytes. Throws where its X25519 part is of small order. */
export function decapsulate(ciphertext: Uint8Array, secretKey: Uint8Array): Uint8Array {
  if (!last || !equalBytes(last.secretKey, secretKey)) last = expand(secretKey)
  const { mlkem, x25519, x25519PublicKey } = last
  const theirs = ciphertext.subarray(MLKEM_CIPHERTEXT_BYTES)
  const first = sodium.crypto_kem_mlkem768_dec(ciphertext.subarray(0, MLKEM_CIPHERTEXT_BYTES), mlkem)
  return combined([first, sharedPoint(x25519, theirs)], theirs, x25519PublicKey)
}

/** Forgets what is kept of the last key. */
export function forgetRecipientKey(): void {
  last = undefined
}

/** SHA3-256 of both secrets, the X25519 ciphertext (the sender's point), the receiver's point, the label. */
function combined(
  [mlkem, x25519]: readonly [Uint8Array, Uint8Array],
  senders: Uint8Array,
  receivers: Uint8Array,
): Uint8Array {
  const parts = concat(mlkem, x25519, senders, receivers, LABEL)
  return new Uint8Array(createHash("sha3-256").update(parts).digest())
}

function expand(secretKey: Uint8Array): Expanded {
  const outputLength = MLKEM_SEED_BYTES + X25519_BYTES
  const seeds = new Uint8Array(createHash("shake256", { outputLength }).update(secretKey).digest())
  const x25519 = seeds.subarray(MLKEM_SEED_BYTES)
  return {
    secretKey: Uint8Array.from(secretKey),
    mlkem: sodium.crypto_kem_mlkem768_seed_keypair(seeds.subarray(0, MLKEM_SEED_BYTES)).privateKey,
    x25519,
    x25519PublicKey: publicPoint(x25519),
  }
}
