import { jest } from "@jest/globals"

import { sodium } from "./sodium.js"

/** The same module twice: on the compiled library, and as where that is not installed. */
const compiled = await import("./curve.js")
jest.resetModules()
jest.unstable_mockModule("./native-sodium.js", () => ({ nativeSodium: undefined }))
const webAssembly = await import("./curve.js")

const bytes = (length: number, k: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 37 + k * 101) & 255)

test("the two are not one module", () => {
  expect(compiled.verifyDetached).not.toBe(webAssembly.verifyDetached)
})

describe.each([
  ["compiled", compiled],
  ["in WebAssembly", webAssembly],
])("%s", (_, curve) => {
  test("pairs, signatures and shared points are libsodium's", () => {
    for (const k of [0, 1, 2]) {
      const { publicKey, privateKey } = sodium.crypto_sign_seed_keypair(bytes(32, k))
      expect(curve.signingPair(bytes(32, k))).toEqual({ publicKey, secretKey: privateKey })
      const signature = sodium.crypto_sign_detached(bytes(100, k), privateKey)
      expect(curve.signDetached(bytes(100, k), privateKey)).toEqual(signature)
      expect(curve.verifyDetached(signature, bytes(100, k), publicKey)).toBe(true)
      const theirs = sodium.crypto_scalarmult_base(bytes(32, k + 9))
      expect(curve.publicPoint(bytes(32, k + 9))).toEqual(theirs)
      expect(curve.sharedPoint(bytes(32, k), theirs)).toEqual(sodium.crypto_scalarmult(bytes(32, k), theirs))
    }
  })

  test("every changed byte of signature, message or key verifies nothing", () => {
    const { publicKey, secretKey } = curve.signingPair(bytes(32, 5))
    const message = bytes(10, 5)
    const signature = curve.signDetached(message, secretKey)
    const changed = (from: Uint8Array, at: number): Uint8Array => from.map((byte, i) => (i === at ? byte ^ 0x80 : byte))
    for (let at = 0; at < 64; at++) {
      expect(curve.verifyDetached(changed(signature, at), message, publicKey)).toBe(false)
      if (at < 32) expect(curve.verifyDetached(signature, message, changed(publicKey, at))).toBe(false)
      if (at < 10) expect(curve.verifyDetached(signature, changed(message, at), publicKey)).toBe(false)
    }
  })

  test("S above the group order is refused: no second signature for the same message", () => {
    const { publicKey, secretKey } = curve.signingPair(bytes(32, 6))
    const signature = curve.signDetached(bytes(10, 6), secretKey)
    const order = Buffer.from("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", "hex").reverse()
    let carry = 0
    const shifted = signature.map((byte, i) => {
      if (i < 32) return byte
      carry += byte + (order[i - 32] ?? 0)
      const low = carry & 255
      carry >>= 8
      return low
    })
    expect(curve.verifyDetached(shifted, bytes(10, 6), publicKey)).toBe(false)
  })

  test("points of small order are refused", () => {
    const one = Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0))
    const signature = Uint8Array.from({ length: 64 }, (_, i) => (i === 0 ? 1 : 0))
    expect(curve.verifyDetached(signature, bytes(10, 7), one)).toBe(false)
    expect(() => curve.sharedPoint(bytes(32, 7), one)).toThrow()
    expect(() => curve.sharedPoint(bytes(32, 7), new Uint8Array(32))).toThrow()
  })
})
