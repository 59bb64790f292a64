import { decapsulate, encapsulate } from "./x-wing.js"
import { sodium } from "./sodium.js"

const seedOf = (k: number): Uint8Array => new Uint8Array(32).fill(k)

test("the shared secret is libsodium's, whichever key comes when", () => {
  const sealed = [1, 2, 1, 3, 2].map((k) => {
    const { publicKey, privateKey } = sodium.crypto_kem_xwing_seed_keypair(seedOf(k))
    const { ciphertext, sharedSecret } = sodium.crypto_kem_xwing_enc(publicKey)
    return { privateKey, ciphertext, sharedSecret }
  })
  for (const { privateKey, ciphertext, sharedSecret } of [...sealed, ...sealed.reverse()])
    expect(decapsulate(ciphertext, privateKey)).toEqual(sharedSecret)
})

test("ciphertext and secret are libsodium's for the same seed", () => {
  for (const k of [1, 2, 3]) {
    const { publicKey } = sodium.crypto_kem_xwing_seed_keypair(seedOf(k))
    const seed = Uint8Array.from({ length: 64 }, (_, i) => (31 * i + k) & 255)
    const { ciphertext, sharedSecret } = sodium.crypto_kem_xwing_enc_deterministic(publicKey, seed)
    expect(encapsulate(publicKey, seed)).toEqual({ ciphertext, sharedSecret })
  }
})

test("a changed ciphertext gives the secret libsodium gives: another one", () => {
  const { publicKey, privateKey } = sodium.crypto_kem_xwing_seed_keypair(seedOf(9))
  const { ciphertext, sharedSecret } = sodium.crypto_kem_xwing_enc(publicKey)
  for (const at of [0, 500, 1_087, 1_088, 1_119]) {
    const changed = Uint8Array.from(ciphertext, (byte, i) => (i === at ? byte ^ 1 : byte))
    const secret = decapsulate(changed, privateKey)
    expect(secret).toEqual(sodium.crypto_kem_xwing_dec(changed, privateKey))
    expect(secret).not.toEqual(sharedSecret)
  }
})

test("points of small order and wrong lengths are refused", () => {
  const { publicKey, privateKey } = sodium.crypto_kem_xwing_seed_keypair(seedOf(5))
  const { ciphertext } = sodium.crypto_kem_xwing_enc(publicKey)
  for (const point of [new Uint8Array(32), Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0))]) {
    const small = Uint8Array.from(ciphertext)
    small.set(point, 1_088)
    expect(() => decapsulate(small, privateKey)).toThrow()
  }
  expect(() => decapsulate(ciphertext.subarray(1), privateKey)).toThrow()
  expect(() => decapsulate(ciphertext.subarray(0, 1_088), privateKey)).toThrow()
})
