import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { decryptInto, encryptInto } from "./aead.js"
import { generateIdentity, identityFromSeed } from "./identity.js"
import { checkOpen, openEnvelope } from "./open.js"
import { generateRecipientKey } from "./recipient.js"
import { sealToBytes } from "./seal.js"
import { sodium } from "./sodium.js"
import { readSealed, sealEnvelope } from "./spool.js"

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
  expect(openEnvelope(sealed.envelope, secret)).toEqual(text(length))
  const { root } = checkOpen(
    { ...sealed, envelopeBytes: sealed.bytes, leaves: [...sealed.leaves] },
    identity.publicKey,
    expected,
  )
  expect(root).toEqual(sealed.root)
})

test("every bit of the frame, header, stanza and first bytes matters", () => {
  const { envelope } = seal(text(100))
  for (let bit = 0; bit < envelope.length * 8; bit += bit < 320 * 8 ? 1 : 61) {
    const mutant = Uint8Array.from(envelope)
    mutant[bit >> 3] = (mutant[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(() => openEnvelope(mutant, secret)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^(ENVELOPE_REJECTED|ROUND_MISMATCH)$/) }),
    )
  }
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

test("OpenSSL and libsodium give the same ChaCha20-Poly1305 bytes", () => {
  for (const length of [0, 1, 63, 64, 65, 1000]) {
    const input = { key: text(32), nonce: text(12), aad: text(length % 40) }
    const out = new Uint8Array(length + 16)
    encryptInto(out, input, text(length))
    const theirs = sodium.crypto_aead_chacha20poly1305_ietf_encrypt(
      text(length),
      input.aad,
      null,
      input.nonce,
      input.key,
    )
    expect(out).toEqual(theirs)
    const back = new Uint8Array(length)
    expect([decryptInto(back, input, theirs), back]).toEqual([true, text(length)])
  }
})

test("a spooled envelope is found again with the same parts; nothing but it is left in the folder", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lamina-spool-"))
  const path = join(folder, "deep", "round-1.ffe1")
  const sealed = await sealEnvelope(
    { identity, ...round, recipientKey: recipient.publicKey, plaintext: text(70_000) },
    path,
  )
  expect(await readSealed(path)).toEqual(sealed)
  expect(readdirSync(join(folder, "deep"))).toEqual(["round-1.ffe1"])
  expect(openEnvelope(readFileSync(path).subarray(0, sealed.bytes), secret)).toEqual(text(70_000))
  expect(await readSealed(join(folder, "none"))).toBeUndefined()
  writeFileSync(path, "not an envelope")
  await expect(readSealed(path)).rejects.toMatchObject({ code: "BLOB_CORRUPT" })
})

test("a spool path that cannot be written is an error with a code", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lamina-spool-"))
  writeFileSync(join(folder, "file"), "")
  const input = { identity, ...round, recipientKey: recipient.publicKey, plaintext: text(1) }
  await expect(sealEnvelope(input, join(folder, "file", "x"))).rejects.toMatchObject({ code: "FILE_UNWRITABLE" })
})
