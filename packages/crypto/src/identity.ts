import { createPrivateKey, generateKeyPairSync, sign as nodeSign } from "node:crypto"
import type { KeyObject } from "node:crypto"

import { concat, hash, utf8 } from "./hash.js"
import { sodium } from "./sodium.js"

/** An Ed25519 key pair and the id it gives: H("id" ‖ public key), first 16 bytes. */
export interface Identity {
  readonly publicKey: Uint8Array
  /** 32-byte seed of the secret key. */
  readonly secretKey: Uint8Array
  readonly clientId: Uint8Array
}

export const SEED_BYTES = 32
const PUBLIC_KEY_BYTES = 32
const SIGNATURE_BYTES = 64

export function generateIdentity(): Identity {
  const { privateKey } = generateKeyPairSync("ed25519")
  const { x = "", d = "" } = privateKey.export({ format: "jwk" })
  const [publicKey, secretKey] = [bytesOf(x), bytesOf(d)]
  const identity = { publicKey, secretKey, clientId: clientIdOf(publicKey) }
  signingKeys.set(identity, privateKey)
  return identity
}

/** The identity of a 32-byte seed. */
export function identityFromSeed(seed: Uint8Array): Identity {
  if (seed.byteLength !== SEED_BYTES) throw new RangeError(`expected a seed of 32 bytes, got ${seed.byteLength}`)
  const { publicKey } = sodium.crypto_sign_seed_keypair(seed)
  return { publicKey, secretKey: Uint8Array.from(seed), clientId: clientIdOf(publicKey) }
}

export function clientIdOf(publicKey: Uint8Array): Uint8Array {
  return hash(utf8("id"), publicKey).slice(0, 16)
}

/** OpenSSL takes as long to read a key as to sign with it. */
const signingKeys = new WeakMap<Identity, KeyObject>()

/** Signs label ‖ 0x00 ‖ parts; every signature of the protocol names what it is for. 64 bytes. */
export function sign(signer: Identity, label: string, ...parts: readonly Uint8Array[]): Uint8Array {
  let key = signingKeys.get(signer)
  if (!key) signingKeys.set(signer, (key = privateKey(signer)))
  return new Uint8Array(nodeSign(null, bound(label, parts), key))
}

/**
 * False for a wrong signature and for bytes that are no key or no signature at all. libsodium's check, which refuses
 * keys of small order: OpenSSL takes the neutral point for a key, and then one signature fits every message.
 */
export function verify(
  publicKey: Uint8Array,
  signature: Uint8Array,
  label: string,
  ...parts: readonly Uint8Array[]
): boolean {
  if (publicKey.byteLength !== PUBLIC_KEY_BYTES || signature.byteLength !== SIGNATURE_BYTES) return false
  return sodium.crypto_sign_verify_detached(signature, bound(label, parts), publicKey)
}

/** Parts are not delimited: all but the last have a fixed length. */
function bound(label: string, parts: readonly Uint8Array[]): Uint8Array {
  return concat(utf8(label), Uint8Array.of(0), ...parts)
}

function bytesOf(base64url: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64url, "base64url"))
}

/** As a JSON web key (RFC 8037): OpenSSL takes ten times as long for the same key in DER. */
function privateKey({ publicKey, secretKey }: Identity): KeyObject {
  const [x, d] = [publicKey, secretKey].map((bytes) => Buffer.from(bytes).toString("base64url"))
  return createPrivateKey({ key: { kty: "OKP", crv: "Ed25519", x: x ?? "", d: d ?? "" }, format: "jwk" })
}
