import { nativeSodium } from "./native-sodium.js"
import { sodium } from "./sodium.js"

/** Ed25519 and X25519 (RFC 8032, RFC 7748) by libsodium, compiled for this machine or in WebAssembly. */

const KEY_BYTES = 32
const SIGNATURE_BYTES = 64

/** Ed25519 key pair of a 32-byte seed; the secret key is seed ‖ public key. */
export function signingPair(seed: Uint8Array): { publicKey: Uint8Array; secretKey: Uint8Array } {
  if (!nativeSodium) {
    const { publicKey, privateKey } = sodium.crypto_sign_seed_keypair(seed)
    return { publicKey, secretKey: privateKey }
  }
  const pair = { publicKey: new Uint8Array(KEY_BYTES), secretKey: new Uint8Array(2 * KEY_BYTES) }
  nativeSodium.crypto_sign_seed_keypair(pair.publicKey, pair.secretKey, seed)
  return pair
}

/** 64 bytes, the same for the same message. */
export function signDetached(message: Uint8Array, secretKey: Uint8Array): Uint8Array {
  if (!nativeSodium) return sodium.crypto_sign_detached(message, secretKey)
  const signature = new Uint8Array(SIGNATURE_BYTES)
  nativeSodium.crypto_sign_detached(signature, message, secretKey)
  return signature
}

/** Refuses keys of small order, which OpenSSL takes: with the neutral point one signature fits every message. */
export function verifyDetached(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  return (nativeSodium ?? sodium).crypto_sign_verify_detached(signature, message, publicKey)
}

/** X25519 of a secret and another's public key. Throws where that is of small order. */
export function sharedPoint(secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  if (!nativeSodium) return sodium.crypto_scalarmult(secret, publicKey)
  const shared = new Uint8Array(KEY_BYTES)
  nativeSodium.crypto_scalarmult(shared, secret, publicKey)
  return shared
}

/** The public key of an X25519 secret. */
export function publicPoint(secret: Uint8Array): Uint8Array {
  if (!nativeSodium) return sodium.crypto_scalarmult_base(secret)
  const publicKey = new Uint8Array(KEY_BYTES)
  nativeSodium.crypto_scalarmult_base(publicKey, secret)
  return publicKey
}
