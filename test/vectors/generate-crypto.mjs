// Writes test/vectors/crypto/*.json from the built packages/crypto: node test/vectors/generate-crypto.mjs. The files are the contract: a change of
// any value is a change of the protocol.
import { writeFileSync } from "node:fs"

import { clientIdOf, hash, identityFromSeed, kdf, leafHash, rootOf, sign, toHex, utf8 } from "@lamina/crypto"
import { sealVector } from "./envelope-vector.mjs"

const bytes = (length, start = 0) => Uint8Array.from({ length }, (_, i) => (start + 7 * i) & 0xff)
const write = (name, value) => writeFileSync(new URL(`crypto/${name}.json`, import.meta.url), `${JSON.stringify(value, null, 1)}\n`)

write("hash", [0, 1, 3, 64, 127, 128, 129, 1000].map((length) => ({ input: toHex(bytes(length)), hash: toHex(hash(bytes(length))) })))
write("kdf", ["payload", "commit", "cek"].flatMap((label) =>
  [0, 24, 56].map((length) => ({ key: toHex(bytes(32, 1)), label, context: toHex(bytes(length, 2)), output: toHex(kdf(bytes(32, 1), label, bytes(length, 2))) })),
))
write("merkle", [1, 2, 3, 4, 5, 7, 8].map((count) => {
  const leaves = Array.from({ length: count }, (_, i) => leafHash(bytes(5, i)))
  return { chunks: Array.from({ length: count }, (_, i) => toHex(bytes(5, i))), leaves: leaves.map(toHex), root: toHex(rootOf(leaves)) }
}))
write("signature", [0, 1, 2, 3].map((start) => {
  const identity = identityFromSeed(bytes(32, start))
  const parts = [bytes(start), bytes(10, start)]
  return {
    seed: toHex(identity.secretKey), publicKey: toHex(identity.publicKey), clientId: toHex(clientIdOf(identity.publicKey)),
    label: "lamina/v1/test", parts: parts.map(toHex), signature: toHex(sign(identity, "lamina/v1/test", ...parts)),
  }
}))
write("envelope", [0, 1, 17, 200, 65_535, 65_536, 65_537].map((length) => sealVector(bytes(length, 3), length)))
write("text", { label: "lamina/v1/update", utf8: toHex(utf8("lamina/v1/update")) })
