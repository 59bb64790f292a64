import { readFileSync } from "node:fs"

import { layoutOf } from "./envelope-layout.js"
import { fromHex, hash, kdf, toHex } from "./hash.js"
import { identityFromSeed, sign, verify } from "./identity.js"
import { rootOf } from "./merkle.js"
import { checkOpen, openEnvelope } from "./open.js"
import { recipientKeyFromSeed, unwrapKey, wrapKey } from "./recipient.js"
import { sealToBytes } from "./seal.js"

/**
 * The committed vectors of test/vectors/crypto. They are the contract: a change of any value is a change of the
 * protocol.
 */
function cases<T>(name: string): T[] {
  const text = readFileSync(new URL(`../../../test/vectors/crypto/${name}.json`, import.meta.url), "utf8")
  return (JSON.parse(text) as { cases: T[] }).cases
}
function bin(hex: string): Uint8Array {
  const bytes = fromHex(hex)
  if (!bytes) throw new Error("a vector is not hex")
  return bytes
}
/** Inputs that are given by their length: byte i is (31 i + 7) mod 256. */
const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (31 * i + 7) & 255)
const hexes = (values: readonly Uint8Array[]): string[] => values.map(toHex)

test.each(cases<{ bytes: number; hash: string }>("hash"))(
  "BLAKE2b-256 of $bytes bytes",
  ({ bytes, hash: expected }) => {
    expect(toHex(hash(pattern(bytes)))).toBe(expected)
    const [left, right] = [pattern(bytes).subarray(0, bytes >> 1), pattern(bytes).subarray(bytes >> 1)]
    expect(toHex(hash(left, right))).toBe(expected)
  },
)

interface KdfCase {
  key: string
  label: string
  contextBytes: number
  derived: string
}
test.each(cases<KdfCase>("kdf"))("kdf $label over $contextBytes bytes", ({ key, label, contextBytes, derived }) => {
  expect(toHex(kdf(bin(key), label, pattern(contextBytes)))).toBe(derived)
})

test.each(cases<{ leaves: string[]; root: string }>("merkle"))("Merkle root %#", ({ leaves, root }) => {
  expect(toHex(rootOf(leaves.map(bin)))).toBe(root)
})

interface SignCase {
  seed: string
  publicKey: string
  clientId: string
  label: string
  messageBytes: number
  signature: string
}
test.each(cases<SignCase>("sign"))("signature over $messageBytes bytes", (vector) => {
  const { seed, publicKey, clientId, label, messageBytes, signature } = vector
  const identity = identityFromSeed(bin(seed))
  const parts = [pattern(messageBytes).subarray(0, 7), pattern(messageBytes).subarray(7)]
  expect(hexes([identity.publicKey, identity.clientId, sign(identity, label, ...parts)])).toEqual([
    publicKey,
    clientId,
    signature,
  ])
  expect(verify(bin(publicKey), bin(signature), label, ...parts)).toBe(true)
})

interface StanzaCase {
  recipientSeed: string
  publicKeyHash: string
  context: string
  contentKey: string
  kemSeed: string
  stanza: string
}
test.each(cases<StanzaCase>("stanza"))("stanza %#", (vector) => {
  const { publicKey, secretKey } = recipientKeyFromSeed(bin(vector.recipientSeed))
  const context = bin(vector.context)
  expect(toHex(hash(publicKey))).toBe(vector.publicKeyHash)
  const stanza = wrapKey({ recipientKey: publicKey, context, kemSeed: bin(vector.kemSeed) }, bin(vector.contentKey))
  expect(toHex(stanza)).toBe(vector.stanza)
  expect(unwrapKey({ secretKey, context }, stanza)).toEqual(bin(vector.contentKey))
})

interface EnvelopeCase {
  senderSeed: string
  recipientSeed: string
  federationId: string
  roundHeaderHash: string
  contentKey: string
  salt: string
  kemSeed: string
  plaintextBytes: number
  bytes: number
  header: string
  envelopeHash: string
  envelope?: string
  leaves: string[]
  root: string
  signature: string
}
const envelopes = cases<EnvelopeCase>("envelope")
const [shared] = envelopes as [EnvelopeCase]
const sender = identityFromSeed(bin(shared.senderSeed))
const recipient = recipientKeyFromSeed(bin(shared.recipientSeed))
const round = { federationId: bin(shared.federationId), roundHeaderHash: bin(shared.roundHeaderHash) }
const expected = { ...round, clientId: sender.clientId }
const secret = { recipientSecretKey: recipient.secretKey, expected }
const secrets = { contentKey: bin(shared.contentKey), salt: bin(shared.salt), kemSeed: bin(shared.kemSeed) }
const sealed = (plaintextBytes: number): ReturnType<typeof sealToBytes> =>
  sealToBytes(
    { identity: sender, ...round, recipientKey: recipient.publicKey, plaintext: pattern(plaintextBytes) },
    secrets,
  )

test.each(envelopes)("envelope of $plaintextBytes bytes", (vector) => {
  const { envelope, header, leaves, root, signature, bytes } = sealed(vector.plaintextBytes)
  expect(toHex(header)).toBe(vector.header)
  expect(hexes(leaves)).toEqual(vector.leaves)
  expect([bytes, ...hexes([root, signature, hash(envelope)])]).toEqual([
    vector.bytes,
    vector.root,
    vector.signature,
    vector.envelopeHash,
  ])
  if (vector.envelope !== undefined) expect(toHex(envelope)).toBe(vector.envelope)
  // toEqual walks a million elements one by one
  expect(Buffer.compare(openEnvelope(envelope, secret), pattern(vector.plaintextBytes))).toBe(0)
})

interface CraftedCase {
  name: string
  /** null: this one opens. */
  error: string | null
  envelope: string
  header: string
  leaves: string[]
  signature: string
}
test.each(cases<CraftedCase>("crafted"))("an insider's envelope: $name", (vector) => {
  const envelope = bin(vector.envelope)
  const { error } = vector
  if (error === null) expect(openEnvelope(envelope, secret)).toEqual(pattern(100))
  else expect(() => openEnvelope(envelope, secret)).toThrow(expect.objectContaining({ code: error }))
  const open = {
    header: bin(vector.header),
    leaves: vector.leaves.map(bin),
    signature: bin(vector.signature),
    envelopeBytes: envelope.length,
  }
  // the signature is right: what cannot be seen from the outside passes here, everything else is refused before a byte
  // is stored
  const inside =
    /^(nothing|the (key commitment is|manifest hash|stanza))/.test(vector.name) ||
    /^the (only )?segment/.test(vector.name)
  if (inside) expect(checkOpen(open, sender.publicKey, expected).root).toEqual(rootOf(open.leaves))
  else expect(() => checkOpen(open, sender.publicKey, expected)).toThrow(expect.objectContaining({ code: error }))
})

interface DamagedCase {
  name: string
  plaintextBytes: number
  pieces: (string | [number, number])[]
  error: string
}
test.each(cases<DamagedCase>("damaged"))(
  "a damaged envelope of $plaintextBytes bytes: $name",
  ({ plaintextBytes, pieces, error }) => {
    const { envelope, header } = sealed(plaintextBytes)
    expect(layoutOf(header.byteLength, plaintextBytes).envelopeBytes).toBe(envelope.byteLength)
    const damaged = Buffer.concat(
      pieces.map((piece) => (typeof piece === "string" ? bin(piece) : envelope.subarray(...piece))),
    )
    expect(Buffer.compare(damaged, envelope)).not.toBe(0)
    expect(() => openEnvelope(damaged, secret)).toThrow(
      expect.objectContaining({ code: error, message: "envelope rejected" }),
    )
  },
)
