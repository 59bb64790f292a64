import { createCipheriv, createDecipheriv } from "node:crypto"

/** ChaCha20-Poly1305 (RFC 8439) by OpenSSL; the tests hold it against libsodium's. */
export const TAG_BYTES = 16

interface AeadInput {
  /** 32 bytes, used for one message or with distinct nonces. */
  readonly key: Uint8Array
  /** 12 bytes. */
  readonly nonce: Uint8Array
  readonly aad: Uint8Array
}

/** Writes ciphertext ‖ tag into `out`, plaintext length + 16 bytes. */
export function encryptInto(out: Uint8Array, { key, nonce, aad }: AeadInput, plaintext: Uint8Array): void {
  const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(aad, { plaintextLength: plaintext.byteLength })
  out.set(cipher.update(plaintext), 0)
  cipher.final()
  out.set(cipher.getAuthTag(), plaintext.byteLength)
}

/**
 * Writes the plaintext into `out`, ciphertext length - 16 bytes; false when it does not authenticate (then `out` is
 * zeroed).
 */
export function decryptInto(out: Uint8Array, { key, nonce, aad }: AeadInput, sealed: Uint8Array): boolean {
  const length = sealed.byteLength - TAG_BYTES
  if (length < 0) return false
  const decipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(aad, { plaintextLength: length })
  decipher.setAuthTag(sealed.subarray(length))
  out.set(decipher.update(sealed.subarray(0, length)), 0)
  try {
    decipher.final()
    return true
  } catch {
    out.fill(0)
    return false
  }
}
