import { readFileSync } from "node:fs"

import { fromHex, hash, kdf, toHex } from "./hash.js"
import { clientIdOf, identityFromSeed, sign, verify } from "./identity.js"
import { leafHash, rootOf } from "./merkle.js"
import { openEnvelope } from "./open.js"
import { recipientKeyFromSeed } from "./recipient.js"
import { sealToBytes } from "./seal.js"

/** The committed vectors of test/vectors/crypto (generate-crypto.mjs there wrote them). */
type Vector = Readonly<Record<string, string>>
function vectors(name: string): Vector[] {
  return JSON.parse(
    readFileSync(new URL(`../../../test/vectors/crypto/${name}.json`, import.meta.url), "utf8"),
  ) as Vector[]
}
const bin = (text: string | undefined): Uint8Array => fromHex(text ?? "?") ?? new Uint8Array(0)

test.each(vectors("hash"))("BLAKE2b-256 %#", ({ input, hash: expected }) => {
  expect(toHex(hash(bin(input)))).toBe(expected)
  const half = bin(input).length >> 1
  expect(toHex(hash(bin(input).subarray(0, half), bin(input).subarray(half)))).toBe(expected)
})

test("BLAKE2b-256 of nothing is the published value", () => {
  // RFC 7693 construction with a 32-byte digest: the value every BLAKE2b-256 gives for the empty input
  expect(toHex(hash())).toBe("0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8")
})

test.each(vectors("kdf"))("kdf %#", ({ key, label, context, output }) => {
  expect(toHex(kdf(bin(key), label ?? "", bin(context)))).toBe(output)
})

test.each(vectors("merkle"))("merkle %#", (vector) => {
  const { chunks, leaves, root } = vector as unknown as { chunks: string[]; leaves: string[]; root: string }
  expect(chunks.map((chunk) => toHex(leafHash(bin(chunk))))).toEqual(leaves)
  expect(toHex(rootOf(leaves.map(bin)))).toBe(root)
})

test.each(vectors("signature"))("signature %#", (vector) => {
  const { seed, publicKey, clientId, label, parts, signature } = vector as unknown as Vector & { parts: string[] }
  const identity = identityFromSeed(bin(seed))
  expect([toHex(identity.publicKey), toHex(clientIdOf(identity.publicKey))]).toEqual([publicKey, clientId])
  const given = (parts as string[]).map(bin)
  expect(toHex(sign(identity, label ?? "", ...given))).toBe(signature)
  expect(verify(bin(publicKey), bin(signature), label ?? "", ...given)).toBe(true)
  expect(verify(bin(publicKey), bin(signature), "lamina/v1/other", ...given)).toBe(false)
})

test.each(vectors("envelope"))("envelope %#", (vector) => {
  const identity = identityFromSeed(bin(vector.identitySeed))
  const recipient = recipientKeyFromSeed(bin(vector.recipientSeed))
  const round = { federationId: bin(vector.federationId), roundHeaderHash: bin(vector.roundHeaderHash) }
  const secrets = { contentKey: bin(vector.contentKey), salt: bin(vector.salt), kemSeed: bin(vector.kemSeed) }
  const plaintext = Uint8Array.from({ length: Number(vector.plaintextBytes) }, (_, i) => (3 + 7 * i) & 0xff)
  expect(toHex(hash(plaintext))).toBe(vector.plaintextHash)
  const sealed = sealToBytes({ identity, ...round, recipientKey: recipient.publicKey, plaintext }, secrets)
  expect([toHex(sealed.header), toHex(sealed.root), toHex(sealed.signature)]).toEqual([
    vector.header,
    vector.root,
    vector.signature,
  ])
  expect(toHex(hash(sealed.envelope))).toBe(vector.envelopeHash)
  if (vector.envelope !== undefined) expect(toHex(sealed.envelope)).toBe(vector.envelope)
  const expected = { ...round, clientId: identity.clientId }
  expect(toHex(hash(openEnvelope(sealed.envelope, { recipientSecretKey: recipient.secretKey, expected })))).toBe(
    vector.plaintextHash,
  )
})
