import { generateRecipientKey, recipientKeyFromSeed, STANZA_BYTES, unwrapKey, wrapKey } from "./recipient.js"

const { publicKey, secretKey } = generateRecipientKey()
const contentKey = Uint8Array.from({ length: 32 }, (_, i) => i)
const context = new Uint8Array(48).fill(4)
const wrap = (): Uint8Array => wrapKey({ recipientKey: publicKey, context }, contentKey)

test("a stanza opens for its recipient in its context, and for nobody else nowhere else", () => {
  const stanza = wrap()
  expect(stanza).toHaveLength(STANZA_BYTES)
  expect(unwrapKey({ secretKey, context }, stanza)).toEqual(contentKey)
  expect(unwrapKey({ secretKey, context: new Uint8Array(48) }, stanza)).toBeUndefined()
  expect(unwrapKey({ secretKey: generateRecipientKey().secretKey, context }, stanza)).toBeUndefined()
})

test("two stanzas of one key have nothing in common", () => {
  const [one, two] = [wrap(), wrap()]
  expect(one.subarray(0, 32)).not.toEqual(two.subarray(0, 32))
  expect(one.subarray(1_120)).not.toEqual(two.subarray(1_120))
})

test("a stanza of any other bytes is undefined, never an exception", () => {
  const zeros = new Uint8Array(STANZA_BYTES)
  // points of small order on Curve25519 make the X25519 half 0: the neutral point, 1, and p - 1 (RFC 7748, section 6.1)
  const one = Uint8Array.from(wrap(), (byte, i) => (i < 1_088 || i >= 1_120 ? byte : i === 1_088 ? 1 : 0))
  const minusOne = Uint8Array.from(wrap(), (byte, i) =>
    i < 1_088 || i >= 1_120 ? byte : i === 1_088 ? 0xec : i === 1_119 ? 0x7f : 0xff,
  )
  for (const stanza of [
    zeros,
    new Uint8Array(STANZA_BYTES).fill(0xff),
    one,
    minusOne,
    zeros.subarray(1),
    new Uint8Array(0),
  ])
    expect(unwrapKey({ secretKey, context }, stanza)).toBeUndefined()
})

test.each([0, 1_215, 1_217])("a recipient key of %i bytes is FRAME_MALFORMED", (length) => {
  expect(() => wrapKey({ recipientKey: new Uint8Array(length), context }, contentKey)).toThrow(
    expect.objectContaining({ code: "FRAME_MALFORMED" }),
  )
})

test("1,216 bytes that are no X-Wing key are FRAME_MALFORMED", () => {
  // coefficients of 4095 where ML-KEM has residues of 3329 (FIPS 203, section 7.2, modulus check)
  expect(() => wrapKey({ recipientKey: new Uint8Array(1_216).fill(0xff), context }, contentKey)).toThrow(
    expect.objectContaining({ code: "FRAME_MALFORMED" }),
  )
})

test("a pair comes from its seed", () => {
  const seed = new Uint8Array(32).fill(9)
  expect(recipientKeyFromSeed(seed)).toEqual(recipientKeyFromSeed(seed))
  expect(recipientKeyFromSeed(seed).publicKey).not.toEqual(publicKey)
})
