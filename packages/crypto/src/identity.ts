import { signDetached, signingPair, verifyDetached } from "./curve.js"
import { concat, hash, utf8 } from "./hash.js"
import { randomBytes } from "./random.js"

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
  return identityFromSeed(randomBytes(SEED_BYTES))
}

/** The identity of a 32-byte seed. */
export function identityFromSeed(seed: Uint8Array): Identity {
  if (seed.byteLength !== SEED_BYTES) throw new RangeError(`expected a seed of 32 bytes, got ${seed.byteLength}`)
  const { publicKey } = signingPair(seed)
  return { publicKey, secretKey: Uint8Array.from(seed), clientId: clientIdOf(publicKey) }
}

export function clientIdOf(publicKey: Uint8Array): Uint8Array {
  return hash(utf8("id"), publicKey).slice(0, 16)
}

/** Signs label ‖ 0x00 ‖ parts; every signature of the protocol names what it is for. 64 bytes. */
export function sign(signer: Identity, label: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return signDetached(bound(label, parts), concat(signer.secretKey, signer.publicKey))
}

/** False for a wrong signature and for bytes that are no key or no signature at all. */
export function verify(
  publicKey: Uint8Array,
  signature: Uint8Array,
  label: string,
  ...parts: readonly Uint8Array[]
): boolean {
  if (publicKey.byteLength !== PUBLIC_KEY_BYTES || signature.byteLength !== SIGNATURE_BYTES) return false
  return verifyDetached(signature, bound(label, parts), publicKey)
}

/** Parts are not delimited: all but the last have a fixed length. */
function bound(label: string, parts: readonly Uint8Array[]): Uint8Array {
  return concat(utf8(label), Uint8Array.of(0), ...parts)
}
