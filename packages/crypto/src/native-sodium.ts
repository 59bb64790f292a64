import { createRequire } from "node:module"

/** The part of sodium-native that is used: results go into the first argument. */
interface NativeSodium {
  crypto_sign_seed_keypair(publicKey: Uint8Array, secretKey: Uint8Array, seed: Uint8Array): void
  crypto_sign_detached(signature: Uint8Array, message: Uint8Array, secretKey: Uint8Array): void
  crypto_sign_verify_detached(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean
  crypto_scalarmult(shared: Uint8Array, secret: Uint8Array, publicKey: Uint8Array): void
  crypto_scalarmult_base(publicKey: Uint8Array, secret: Uint8Array): void
}

/**
 * libsodium compiled for this machine, where its package has it: the curve takes half to a third of the time it takes
 * in WebAssembly. Optional: the bytes are the same without.
 */
export const nativeSodium: NativeSodium | undefined = load()

function load(): NativeSodium | undefined {
  try {
    return createRequire(import.meta.url)("sodium-native") as NativeSodium
  } catch {
    return undefined // not installed, or not built for this platform
  }
}
