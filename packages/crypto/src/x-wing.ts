import { createHash, createPrivateKey, createPublicKey, diffieHellman } from "node:crypto"
import type { KeyObject } from "node:crypto"

import { equalBytes } from "./hash.js"
import { sodium } from "./sodium.js"

const MLKEM_SEED_BYTES = 64
const MLKEM_CIPHERTEXT_BYTES = 1_088
const X25519_BYTES = 32
/** The label of X-Wing: \.//^\ */
const LABEL = Uint8Array.of(0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c)

/** What a secret key of 32 bytes stands for. */
interface Expanded {
  readonly secretKey: Uint8Array
  /** ML-KEM-768, 2,400 bytes. */
  readonly mlkem: Uint8Array
  readonly x25519: KeyObject
  readonly x25519PublicKey: Uint8Array
}

/** A round's envelopes are all to one key, and expanding it takes as long as using it. */
let last: Expanded | undefined

/**
 * X-Wing's shared secret (draft-connolly-cfrg-xwing-kem) of a ciphertext of 1,120 bytes: ML-KEM-768 by libsodium,
 * X25519 by OpenSSL, which takes a third of the time of WebAssembly. Throws where the X25519 part is of small order.
 */
export function decapsulate(ciphertext: Uint8Array, secretKey: Uint8Array): Uint8Array {
  if (!last || !equalBytes(last.secretKey, secretKey)) last = expand(secretKey)
  const { mlkem, x25519, x25519PublicKey } = last
  const theirs = ciphertext.subarray(MLKEM_CIPHERTEXT_BYTES)
  const first = sodium.crypto_kem_mlkem768_dec(ciphertext.subarray(0, MLKEM_CIPHERTEXT_BYTES), mlkem)
  const second = diffieHellman({ privateKey: x25519, publicKey: publicKeyOf(theirs) })
  const parts = [first, second, theirs, x25519PublicKey, LABEL]
  return new Uint8Array(createHash("sha3-256").update(Buffer.concat(parts)).digest())
}

/** Forgets what is kept of the last key. */
export function forgetRecipientKey(): void {
  last = undefined
}

function expand(secretKey: Uint8Array): Expanded {
  const outputLength = MLKEM_SEED_BYTES + X25519_BYTES
  const seeds = new Uint8Array(createHash("shake256", { outputLength }).update(secretKey).digest())
  const secret = seeds.subarray(MLKEM_SEED_BYTES)
  const x25519PublicKey = sodium.crypto_scalarmult_base(secret)
  const jwk = { kty: "OKP", crv: "X25519", x: base64(x25519PublicKey), d: base64(secret) }
  return {
    secretKey: Uint8Array.from(secretKey),
    mlkem: sodium.crypto_kem_mlkem768_seed_keypair(seeds.subarray(0, MLKEM_SEED_BYTES)).privateKey,
    x25519: createPrivateKey({ key: jwk, format: "jwk" }),
    x25519PublicKey,
  }
}

function publicKeyOf(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: { kty: "OKP", crv: "X25519", x: base64(raw) }, format: "jwk" })
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url")
}
