import fc from "fast-check"

import { ownMemory } from "@lamina/protocol"

import { concat } from "./hash.js"
import { generateIdentity, identityFromSeed } from "./identity.js"
import { checkOpen, openEnvelope, openLater, unwrapEnvelope } from "./open.js"
import { generateRecipientKey } from "./recipient.js"
import { sealLater, sealToBytes } from "./seal.js"

const identity = identityFromSeed(new Uint8Array(32).fill(5))
const recipient = generateRecipientKey()
const round = { federationId: new Uint8Array(32).fill(1), roundHeaderHash: new Uint8Array(32).fill(2) }
const expected = { ...round, clientId: identity.clientId }
const secret = { recipientSecretKey: recipient.secretKey, expected }
const text = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31) & 0xff)
const seal = (plaintext: Uint8Array): ReturnType<typeof sealToBytes> =>
  sealToBytes({ identity, ...round, recipientKey: recipient.publicKey, plaintext })
const rejected = expect.objectContaining({ code: "ENVELOPE_REJECTED", message: "envelope rejected" })

/** Sizes around a segment (64 KiB) and a chunk (256 KiB). */
test.each([0, 1, 65_535, 65_536, 65_537, 262_144, 1_048_579])("%i bytes open as they were sealed", (length) => {
  const sealed = seal(text(length))
  // toEqual walks a million elements one by one
  expect(Buffer.compare(openEnvelope(sealed.envelope, secret), text(length))).toBe(0)
  const { root } = checkOpen(
    { ...sealed, envelopeBytes: sealed.bytes, leaves: [...sealed.leaves] },
    identity.publicKey,
    expected,
  )
  expect(root).toEqual(sealed.root)
})

test.each([300, 262_144, 400_000])("%i bytes in parts are sealed to what they are as a whole", async (length) => {
  const plaintext = concat(Uint8Array.of(10, 0, 0, 0), text(length)) // ten bytes of manifest
  const parts = [plaintext.slice(0, 64), plaintext.slice(64, 65), new Uint8Array(0), plaintext.slice(65)]
  const input = { identity, ...round, recipientKey: recipient.publicKey }
  const secrets = { contentKey: text(32), salt: text(24), kemSeed: text(64) }
  const whole = sealToBytes({ ...input, plaintext }, secrets)
  expect(Buffer.compare(sealToBytes({ ...input, plaintext: parts }, secrets).envelope, whole.envelope)).toBe(0)
  expect(Buffer.compare((await sealLater({ ...input, plaintext: parts }, secrets)).envelope, whole.envelope)).toBe(0)
})

test.each([0, 262_144, 262_145, 1_048_579])("%i bytes are sealed later to what they are at once", async (length) => {
  const input = { identity, ...round, recipientKey: recipient.publicKey, plaintext: text(length) }
  const secrets = { contentKey: text(32), salt: text(24), kemSeed: text(64) }
  const [later, atOnce] = [await sealLater(input, secrets), sealToBytes(input, secrets)]
  expect(Buffer.compare(later.envelope, atOnce.envelope)).toBe(0)
  expect({ ...later, envelope: 0 }).toEqual({ ...atOnce, envelope: 0 })
  const key = unwrapEnvelope(later.envelope, secret)
  for (let again = 0; again < 2; again++)
    expect(Buffer.compare((await openLater(later.envelope, key, ownMemory)).plaintext, input.plaintext)).toBe(0)
  for (const at of [0, 30, later.envelope.byteLength - 1]) {
    const changed = later.envelope.slice()
    changed[at]! ^= 1
    await expect(openLater(changed, key, ownMemory)).rejects.toEqual(rejected)
    expect(codeWithout(later.envelope, 8 * at)).toBe("ENVELOPE_REJECTED")
  }
  await expect(openLater(later.envelope.subarray(1), key, ownMemory)).rejects.toEqual(rejected)
  await expect(openLater(seal(input.plaintext).envelope, key, ownMemory)).rejects.toEqual(rejected)
})

test("views of an opened envelope are known to stay within a bound, or are to be looked at", async () => {
  const floats = new Float32Array(131_072).fill(-0.5) // eight segments of 16,384
  floats[65_536] = NaN // the first of the fifth
  floats[16_383] = -7 // the last of the first
  const plaintext = new Uint8Array(floats.buffer)
  const { envelope } = seal(plaintext)
  const roomy = (bytes: number): Uint8Array => new Uint8Array(bytes + 8).subarray(0, bytes)
  const opened = await openLater(envelope, unwrapEnvelope(envelope, secret), roomy)
  const view = (from: number, end: number): Float32Array =>
    new Float32Array(opened.plaintext.buffer, opened.plaintext.byteOffset + 4 * from, end - from)
  const mayExceed = (from: number, end: number, max = 0.5): boolean => opened.mayExceed(view(from, end), max)
  expect([mayExceed(16_384, 65_536), mayExceed(81_920, 131_072), mayExceed(20_000, 20_000)]).toEqual([
    false,
    false,
    false,
  ])
  expect([mayExceed(16_384, 65_537), mayExceed(65_535, 65_537), mayExceed(81_919, 81_920)]).toEqual([true, true, true])
  expect([mayExceed(0, 1), mayExceed(0, 16_384, 7), mayExceed(20_000, 20_001, 0.4)]).toEqual([true, false, true])
  expect([opened.mayExceed(new Float32Array(3), 1), mayExceed(131_070, 131_073)]).toEqual([true, true])
  const small = seal(plaintext.subarray(0, 100)).envelope // opened at once: nobody looked
  const atOnce = await openLater(small, unwrapEnvelope(small, secret), ownMemory)
  expect(atOnce.mayExceed(new Float32Array(atOnce.plaintext.buffer, 0, 25), 1)).toBe(true)
})

/** The code an envelope with one bit changed is refused with; expect() itself would cost more than the opening. */
function codeWithout(envelope: Uint8Array, bit: number): unknown {
  const changed = envelope.slice()
  changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  try {
    openEnvelope(changed, secret)
    return "opened"
  } catch (error) {
    return (error as { code?: unknown }).code
  }
}

/**
 * Frame and header are the first 244 bytes; the stanza of 1,168 after them is sampled below, at half a millisecond a
 * bit.
 */
test("every bit of frame, header and first segment matters", () => {
  const { envelope } = seal(text(100))
  const codes = new Set<unknown>()
  for (let byte = 0; byte < envelope.length; byte = byte === 243 ? envelope.length - 116 : byte + 1)
    for (let bit = 0; bit < 8; bit++) codes.add(codeWithout(envelope, byte * 8 + bit))
  expect([...codes].sort()).toEqual(["ENVELOPE_REJECTED", "ROUND_MISMATCH"])
})

test("a bit anywhere matters (seeded sample over three segments)", () => {
  const { envelope } = seal(text(150_000))
  const stanza = fc.integer({ min: 244 * 8, max: (244 + 1_168) * 8 - 1 })
  const bits = fc.sample(fc.oneof(stanza, fc.nat(envelope.length * 8 - 1)), { numRuns: 300, seed: 9 })
  const opened = bits.filter((bit) => codeWithout(envelope, bit) !== "ENVELOPE_REJECTED" && bit >= 244 * 8)
  expect(opened).toEqual([])
})

test("one envelope is never made twice: content key, salt and X-Wing randomness are fresh", () => {
  const [one, two] = [seal(text(100)), seal(text(100))]
  // salt, stanza root and commitment in the header; ciphertext in the stanza; and the same plaintext gives another
  // segment
  expect(one.root).not.toEqual(two.root)
  expect(one.envelope.subarray(-116)).not.toEqual(two.envelope.subarray(-116))
  expect(one.envelope.subarray(244, 276)).not.toEqual(two.envelope.subarray(244, 276))
})

test("truncation at every segment boundary, and a segment dropped, doubled or moved, are rejected", () => {
  const { envelope } = seal(text(3 * 65_536))
  const start = envelope.length - 3 * (65_536 + 16)
  const segment = (i: number): Uint8Array => envelope.subarray(start + i * 65_552, start + (i + 1) * 65_552)
  const head = envelope.subarray(0, start)
  for (const order of [[], [0], [0, 1], [1, 0, 2], [0, 0, 2], [0, 2, 1], [0, 1, 2, 2], [0, 1, 1]]) {
    const mutant = Buffer.concat([head, ...order.map(segment)])
    expect(() => openEnvelope(mutant, secret)).toThrow(rejected)
  }
  expect(openEnvelope(Buffer.concat([head, segment(0), segment(1), segment(2)]), secret)).toEqual(text(3 * 65_536))
})

test("another recipient, sender or federation cannot stand in; another round is named as such", () => {
  const { envelope } = seal(text(10))
  const other = generateIdentity()
  expect(() => openEnvelope(envelope, { ...secret, recipientSecretKey: generateRecipientKey().secretKey })).toThrow(
    rejected,
  )
  expect(() => openEnvelope(envelope, { ...secret, expected: { ...expected, clientId: other.clientId } })).toThrow(
    rejected,
  )
  expect(() =>
    openEnvelope(envelope, { ...secret, expected: { ...expected, federationId: new Uint8Array(32) } }),
  ).toThrow(rejected)
  expect(() =>
    openEnvelope(envelope, { ...secret, expected: { ...expected, roundHeaderHash: new Uint8Array(32) } }),
  ).toThrow(expect.objectContaining({ code: "ROUND_MISMATCH" }))
})

test("an upload is refused before its first chunk when signature, leaves, size or signer are not the sender's", () => {
  const sealed = seal(text(300_000))
  const open = {
    header: sealed.header,
    leaves: [...sealed.leaves],
    signature: sealed.signature,
    envelopeBytes: sealed.bytes,
  }
  const flipped = Uint8Array.from(open.signature, (byte, i) => (i === 9 ? byte ^ 1 : byte))
  for (const change of [
    { signature: flipped },
    { leaves: [...open.leaves].reverse() },
    { leaves: open.leaves.slice(1) },
    { envelopeBytes: open.envelopeBytes + 1 },
    { header: sealed.header.subarray(1) },
  ])
    expect(() => checkOpen({ ...open, ...change }, identity.publicKey, expected)).toThrow(rejected)
  expect(() => checkOpen(open, generateIdentity().publicKey, expected)).toThrow(rejected)
})
