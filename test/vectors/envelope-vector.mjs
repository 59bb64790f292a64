import { hash, identityFromSeed, recipientKeyFromSeed, sealToBytes, toHex } from "@lamina/crypto"

const bytes = (length, start) => Uint8Array.from({ length }, (_, i) => (start + 3 * i) & 0xff)

/** An envelope whose every secret is given, so that its bytes are fixed. Long ones are kept as hashes. */
export function sealVector(plaintext, number) {
  const identity = identityFromSeed(bytes(32, 11))
  const recipient = recipientKeyFromSeed(bytes(32, 12))
  const secrets = { contentKey: bytes(32, 13 + number), salt: bytes(24, 14), kemSeed: bytes(64, 15) }
  const round = { federationId: bytes(32, 16), roundHeaderHash: bytes(32, 17) }
  const sealed = sealToBytes({ identity, ...round, recipientKey: recipient.publicKey, plaintext }, secrets)
  const short = plaintext.length <= 200
  return {
    identitySeed: toHex(identity.secretKey),
    recipientSeed: toHex(bytes(32, 12)),
    ...Object.fromEntries(Object.entries({ ...secrets, ...round }).map(([name, value]) => [name, toHex(value)])),
    plaintextBytes: plaintext.length,
    plaintextHash: toHex(hash(plaintext)),
    ...(short ? { plaintext: toHex(plaintext), envelope: toHex(sealed.envelope) } : {}),
    header: toHex(sealed.header),
    envelopeHash: toHex(hash(sealed.envelope)),
    root: toHex(sealed.root),
    signature: toHex(sealed.signature),
  }
}
