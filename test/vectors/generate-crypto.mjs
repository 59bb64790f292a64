// Writes test/vectors/crypto/*.json from the built packages/crypto; packages/crypto/src/vectors.test.ts reads them, test/oracle/crypto_vectors.py
// checks them with Python's own BLAKE2b, Ed25519 and ChaCha20-Poly1305. Run after a build: node test/vectors/generate-crypto.mjs
import { writeFileSync } from "node:fs"

import { LIMITS, messages } from "../../packages/protocol/dist/index.js"
import { encryptInto } from "../../packages/crypto/dist/aead.js"
import { keysOf, layoutOf, MAGIC, manifestHashOf, segmentNonce, be64 } from "../../packages/crypto/dist/envelope-layout.js"
import { concat, hash, kdf, toHex, utf8 } from "../../packages/crypto/dist/hash.js"
import { identityFromSeed, sign } from "../../packages/crypto/dist/identity.js"
import { leafHash, leavesOf, rootOf } from "../../packages/crypto/dist/merkle.js"
import { recipientKeyFromSeed, wrapKey } from "../../packages/crypto/dist/recipient.js"
import { sealToBytes } from "../../packages/crypto/dist/seal.js"

/** Byte i of every input that is given by its length alone: (31 i + 7) mod 256. */
const pattern = (length) => Uint8Array.from({ length }, (_, i) => (31 * i + 7) & 255)
/** 32 (or `length`) bytes with a name. */
const named = (name, length = 32) => hash(utf8(name)).slice(0, length)

function write(name, about, cases) {
  const text = JSON.stringify({ about, cases }, (_, value) => (value instanceof Uint8Array ? toHex(value) : value), 1)
  if (text.includes('"Buffer"')) throw new Error(`${name}: a Buffer is not written as hex`)
  writeFileSync(new URL(`crypto/${name}.json`, import.meta.url), `${text}\n`)
  return cases.length
}

const hashCases = [0, 1, 3, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 65_536, 262_145].map((bytes) => ({
  bytes,
  hash: hash(pattern(bytes)),
}))

const kdfCases = ["payload", "commit", "cek", "pair", ""].flatMap((label) =>
  [0, 1, 56, 200].map((bytes) => ({ key: named(`key ${label}`), label, contextBytes: bytes, derived: kdf(named(`key ${label}`), label, pattern(bytes)) })),
)

const merkleCases = [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 31].map((count) => {
  const leaves = Array.from({ length: count }, (_, i) => leafHash(pattern(i)))
  return { leaves, root: rootOf(leaves) }
})

const signCases = [0, 1, 32, 300].map((bytes) => {
  const identity = identityFromSeed(named(`signer ${bytes}`))
  const label = "lamina/v1/test"
  const message = pattern(bytes)
  const { publicKey, clientId } = identity
  return { seed: identity.secretKey, publicKey, clientId, label, messageBytes: bytes, signature: sign(identity, label, message) }
})

const stanzaCases = [0, 1, 2].map((i) => {
  const recipient = recipientKeyFromSeed(named(`recipient ${i}`))
  const context = concat(named(`round ${i}`), named(`client ${i}`, 16))
  const contentKey = named(`content key ${i}`)
  const kemSeed = named(`kem a ${i}`, 32)
  const kem = concat(kemSeed, named(`kem b ${i}`, 32))
  const stanza = wrapKey({ recipientKey: recipient.publicKey, context, kemSeed: kem }, contentKey)
  return { recipientSeed: named(`recipient ${i}`), publicKeyHash: hash(recipient.publicKey), context, contentKey, kemSeed: kem, stanza }
})

const base = {
  senderSeed: named("sender"),
  recipientSeed: named("recipient"),
  federationId: named("federation"),
  roundHeaderHash: named("round header"),
  contentKey: named("content key"),
  salt: named("salt", 24),
  kemSeed: concat(named("kem a"), named("kem b")),
}

function seal(plaintextBytes) {
  const { contentKey, salt, kemSeed, federationId, roundHeaderHash } = base
  const identity = identityFromSeed(base.senderSeed)
  const { publicKey: recipientKey } = recipientKeyFromSeed(base.recipientSeed)
  const plaintext = pattern(plaintextBytes)
  return sealToBytes({ identity, federationId, roundHeaderHash, recipientKey, plaintext }, { contentKey, salt, kemSeed })
}

/** Envelopes longer than this are given by their hash. */
const SHOWN_BYTES_MAX = 4_096

const envelopeCases = [0, 1, 3, 100, 65_535, 65_536, 65_537, 131_072, 262_144, 1_048_579].map((plaintextBytes) => {
  const { envelope, header, leaves, root, signature, bytes } = seal(plaintextBytes)
  const parsed = messages.EnvelopeHeader.decode(header)
  const keys = keysOf(base.contentKey, parsed)
  const shown = bytes <= SHOWN_BYTES_MAX ? { envelope } : {}
  const outcome = { bytes, header, payloadKey: keys.payload, keyCommitment: keys.commitment, envelopeHash: hash(envelope), leaves, root, signature }
  return { ...base, plaintextBytes, ...outcome, ...shown }
})

/** An envelope of an insider who knows the content key and breaks one rule: `change` may replace anything. */
function craft({ header: headerChange = {}, encode = messages.EnvelopeHeader.encode, commitTo = base.contentKey, last, ...change }) {
  const plaintext = pattern(100)
  const identity = identityFromSeed(base.senderSeed)
  const context = change.context ?? concat(base.roundHeaderHash, identity.clientId)
  const recipient = recipientKeyFromSeed(change.recipientSeed ?? base.recipientSeed)
  const stanza = change.stanza ?? wrapKey({ recipientKey: recipient.publicKey, context, kemSeed: base.kemSeed }, base.contentKey)
  const sizes = { plaintextBytes: plaintext.length, segmentBytes: LIMITS.segmentBytes, segments: 1 }
  const names = { version: 1, suite: 1, federationId: base.federationId, roundHeaderHash: base.roundHeaderHash, clientId: identity.clientId }
  const roots = { manifestHash: manifestHashOf(plaintext), stanzaRoot: rootOf([leafHash(stanza)]) }
  const bare = { ...names, purpose: "update", ...sizes, ...roots, salt: base.salt, stanzas: 1, keyCommitment: new Uint8Array(0), ...headerChange }
  const { payload } = keysOf(base.contentKey, bare)
  const { commitment } = keysOf(commitTo, bare)
  const header = encode({ ...bare, keyCommitment: headerChange.keyCommitment ?? commitment })
  const { stanzaAt, segmentsAt, envelopeBytes } = layoutOf(header.length, plaintext.length)
  const envelope = new Uint8Array(envelopeBytes)
  envelope.set(MAGIC)
  new DataView(envelope.buffer).setUint32(4, header.length, true)
  envelope.set(header, 8)
  envelope.set(stanza, stanzaAt)
  const nonce = segmentNonce(0, last ?? 0)
  encryptInto(envelope.subarray(segmentsAt), { key: payload, nonce, aad: change.aad ?? hash(header) }, plaintext)
  const leaves = leavesOf(envelope)
  const parts = [base.roundHeaderHash, hash(header), rootOf(leaves), be64(envelope.length)]
  return { envelope, header, leaves, signature: sign(identity, "lamina/v1/update", ...parts) }
}

/** The same header in another encoding: field 1 (version) once more at the end. Protobuf takes the last of the two. */
const twice = (header) => concat(messages.EnvelopeHeader.encode(header), Uint8Array.of(0x08, 0x01))
/** A stanza whose X25519 half is the neutral point. */
const neutral = (() => {
  const { publicKey: recipientKey } = recipientKeyFromSeed(base.recipientSeed)
  const stanza = wrapKey({ recipientKey, context: new Uint8Array(48), kemSeed: base.kemSeed }, base.contentKey)
  return stanza.fill(0, 1088, 1120)
})()

const otherClient = concat(base.roundHeaderHash, named("another client", 16))
const otherRound = concat(named("another round header"), identityFromSeed(base.senderSeed).clientId)
const crafted = [
  ["nothing broken: the way these are made is right", {}, null],
  ["the key commitment is of another key", { commitTo: named("another content key") }],
  ["the key commitment is absent", { header: { keyCommitment: new Uint8Array(0) } }],
  ["version 2", { header: { version: 2 } }],
  ["suite 2", { header: { suite: 2 } }],
  ["two stanzas announced", { header: { stanzas: 2 } }],
  ["two segments announced", { header: { segments: 2 } }],
  ["no segment announced", { header: { segments: 0 } }],
  ["segments of 32 KiB", { header: { segmentBytes: 32_768 } }],
  ["99 bytes announced where there are 100", { header: { plaintextBytes: 99 } }],
  ["8 PiB announced", { header: { plaintextBytes: 2 ** 53 - 1 } }],
  ["the manifest hash is of another manifest", { header: { manifestHash: named("another manifest") } }],
  ["the stanza root is of another stanza", { header: { stanzaRoot: named("another stanza") } }],
  ["another federation", { header: { federationId: named("another federation") } }],
  ["another client", { header: { clientId: named("another client", 16) } }],
  ["another round", { header: { roundHeaderHash: named("another round header") } }, "ROUND_MISMATCH"],
  ["the stanza is bound to another client", { context: otherClient }],
  ["the stanza is bound to another round", { context: otherRound }],
  ["the stanza is for another recipient", { recipientSeed: named("another recipient") }],
  ["the stanza's X25519 half is the neutral point", { stanza: neutral }],
  ["the stanza is zeros", { stanza: new Uint8Array(1_168) }],
  ["the only segment lacks the last flag", { last: 1 }],
  ["the segment is bound to another header", { aad: named("another header") }],
  ["the header is encoded with one field twice", { encode: twice }],
].map(([name, change, error = "ENVELOPE_REJECTED"]) => ({ name, error, ...craft(change) }))

/** [name, pieces]: slices [from, to) of the sealed envelope of `plaintextBytes`, or hex, one after another. */
function damaged(plaintextBytes) {
  const { envelope, header } = seal(plaintextBytes)
  const { stanzaAt, segmentsAt, segments } = layoutOf(header.length, plaintextBytes)
  const end = envelope.length
  const at = (i) => Math.min(end, segmentsAt + i * (LIMITS.segmentBytes + 16))
  const flip = (i) => [[0, i], toHex(Uint8Array.of(envelope[i] ^ 1)), [i + 1, end]]
  const cases = [
    ["empty", []],
    ["cut after the magic", [[0, 4]]],
    ["cut inside the header", [[0, 50]]],
    ["cut before the stanza", [[0, stanzaAt]]],
    ["cut before the first segment", [[0, segmentsAt]]],
    ["cut one byte before the end", [[0, end - 1]]],
    ["one byte longer", [[0, end], "00"]],
    ["a bit of the magic", flip(0)],
    ["a bit of the header's length", flip(4)],
    ["a bit of the header", flip(20)],
    ["a bit of the X-Wing ciphertext", flip(stanzaAt)],
    ["a bit of the wrapped key", flip(stanzaAt + 1_120)],
    ["a bit of the first segment", flip(segmentsAt)],
    ["a bit of the last tag", flip(end - 1)],
  ]
  if (segments > 2)
    cases.push(
      ["cut after the first segment", [[0, at(1)]]],
      ["first and second segment exchanged", [[0, at(0)], [at(1), at(2)], [at(0), at(1)], [at(2), end]]],
      ["second segment dropped", [[0, at(1)], [at(2), end]]],
      ["second segment in place of the first", [[0, at(0)], [at(1), at(2)], [at(1), end]]],
      ["first segment twice", [[0, at(1)], [at(0), end]]],
    )
  return cases.map(([name, pieces]) => ({ name, plaintextBytes, pieces, error: "ENVELOPE_REJECTED" }))
}

const about = 'bytes are hex; an input given by its length n is the bytes (31 i + 7) mod 256, i = 0..n-1; docs/protocol.md says what is computed'
const counts = [
  write("hash", about, hashCases),
  write("kdf", about, kdfCases),
  write("merkle", about, merkleCases),
  write("sign", about, signCases),
  write("stanza", about, stanzaCases),
  write("envelope", about, envelopeCases),
  write("crafted", `${about}; envelopes of 100 bytes by a sender who breaks one rule, signed; error null: opens`, crafted),
  write("damaged", `${about}; pieces: slices [from, to) of that length's envelope in envelope.json, or hex`, [...damaged(100), ...damaged(131_073)]),
]
process.stdout.write(`${counts.reduce((sum, count) => sum + count, 0)} vectors\n`)
