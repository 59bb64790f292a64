import { decryptInto, encryptInto } from "./aead.js"
import { sodium } from "./sodium.js"

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31) & 0xff)
const inputFor = (length: number): { key: Uint8Array; nonce: Uint8Array; aad: Uint8Array } => ({
  key: bytes(32),
  nonce: bytes(12),
  aad: bytes(length % 40),
})

/** Around the block of ChaCha20 (64) and Poly1305 (16), and a whole segment. */
test.each([0, 1, 15, 16, 17, 63, 64, 65, 1_000, 65_535, 65_536])(
  "OpenSSL and libsodium give the same bytes for %i",
  (length) => {
    const input = inputFor(length)
    const ours = new Uint8Array(length + 16)
    encryptInto(ours, input, bytes(length))
    const { aad, nonce, key } = input
    const theirs = sodium.crypto_aead_chacha20poly1305_ietf_encrypt(bytes(length), aad, null, nonce, key)
    expect(Buffer.compare(ours, theirs)).toBe(0)
    const back = new Uint8Array(length)
    expect(decryptInto(back, input, theirs)).toBe(true)
    expect(Buffer.compare(back, bytes(length))).toBe(0)
  },
)

test("RFC 8439, section 2.8.2, comes out as printed there", () => {
  const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(" ", ""), "hex")
  const plaintext = Buffer.from(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
      "sunscreen would be it.",
  )
  const input = {
    key: Uint8Array.from({ length: 32 }, (_, i) => 0x80 + i),
    nonce: hex("07000000 4041424344454647"),
    aad: hex("50515253c0c1c2c3c4c5c6c7"),
  }
  const sealed = new Uint8Array(plaintext.length + 16)
  encryptInto(sealed, input, plaintext)
  expect(Buffer.from(sealed.subarray(0, 16)).toString("hex")).toBe("d31a8d34648e60db7b86afbc53ef7ec2")
  expect(Buffer.from(sealed.subarray(-16)).toString("hex")).toBe("1ae10b594f09e26a7e902ecbd0600691")
})

test("what does not authenticate leaves no plaintext behind", () => {
  const sealed = new Uint8Array(50 + 16)
  encryptInto(sealed, inputFor(50), bytes(50))
  const changed = Uint8Array.from(sealed, (byte, i) => (i === 49 ? byte ^ 1 : byte))
  const out = new Uint8Array(50).fill(0xee)
  expect(decryptInto(out, inputFor(50), changed)).toBe(false)
  expect(out).toEqual(new Uint8Array(50))
  expect(decryptInto(out, { ...inputFor(50), aad: bytes(3) }, sealed)).toBe(false)
  expect(decryptInto(out, { ...inputFor(50), nonce: new Uint8Array(12) }, sealed)).toBe(false)
  expect(decryptInto(new Uint8Array(0), inputFor(0), sealed.subarray(0, 15))).toBe(false)
})
