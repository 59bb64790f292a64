import { chmodSync, mkdtempSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { loadOrCreateIdentity } from "./identity-file.js"
import { clientIdOf, generateIdentity, identityFromSeed, sign, verify } from "./identity.js"
import { sodium } from "./sodium.js"

const folder = mkdtempSync(join(tmpdir(), "lamina-identity-"))

test("an identity is made once, for its owner alone, and then read", async () => {
  const path = join(folder, "new", "identity")
  const first = await loadOrCreateIdentity(path)
  expect(await loadOrCreateIdentity(path)).toEqual(first)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(first.clientId).toHaveLength(16)
})

test.each(["", "lamina identity 1\nzz\n", "lamina identity 1\nabcd\n", `lamina identity 2\n${"00".repeat(32)}\n`])(
  "a malformed file is refused and left as it is (%#)",
  async (content) => {
    const path = join(folder, "bad")
    writeFileSync(path, content, { mode: 0o600 })
    await expect(loadOrCreateIdentity(path)).rejects.toMatchObject({ code: "FILE_UNREADABLE" })
    expect(statSync(path).size).toBe(content.length)
  },
)

test("a generated identity is the one of its seed, and signs the same", () => {
  const identity = generateIdentity()
  const again = identityFromSeed(identity.secretKey)
  expect(again).toEqual(identity)
  expect(sign(again, "lamina/v1/a", Uint8Array.of(1))).toEqual(sign(identity, "lamina/v1/a", Uint8Array.of(1)))
})

test("signatures bind label and parts; keys and signatures of wrong length verify nothing", () => {
  const identity = generateIdentity()
  const part = Uint8Array.of(1, 2, 3)
  const signature = sign(identity, "lamina/v1/a", part)
  expect(verify(identity.publicKey, signature, "lamina/v1/a", part)).toBe(true)
  expect(verify(identity.publicKey, signature, "lamina/v1/b", part)).toBe(false)
  expect(verify(identity.publicKey, signature, "lamina/v1/a", Uint8Array.of(1, 2))).toBe(false)
  expect(verify(generateIdentity().publicKey, signature, "lamina/v1/a", part)).toBe(false)
  expect(verify(identity.publicKey.subarray(1), signature, "lamina/v1/a", part)).toBe(false)
  expect(verify(identity.publicKey, signature.subarray(1), "lamina/v1/a", part)).toBe(false)
})

test("processes that start together get one identity", async () => {
  const path = join(folder, "race", "identity")
  const all = await Promise.all(Array.from({ length: 8 }, () => loadOrCreateIdentity(path)))
  expect(new Set(all.map(({ clientId }) => Buffer.from(clientId).toString("hex"))).size).toBe(1)
  expect(readdirSync(join(path, ".."))).toEqual(["identity"])
})

test("an identity that others can read is refused, with what to do", async () => {
  const path = join(folder, "open")
  await loadOrCreateIdentity(path)
  const before = readFileSync(path, "utf8")
  chmodSync(path, 0o640)
  await expect(loadOrCreateIdentity(path)).rejects.toMatchObject({ code: "FILE_UNREADABLE", hint: `chmod 600 ${path}` })
  expect(readFileSync(path, "utf8")).toBe(before)
})

test("a folder that cannot be written is FILE_UNWRITABLE, a path through a file too", async () => {
  const file = join(folder, "file")
  writeFileSync(file, "", { mode: 0o600 })
  const error: unknown = await loadOrCreateIdentity(join(file, "identity")).catch((thrown: unknown) => thrown)
  expect(["FILE_UNREADABLE", "FILE_UNWRITABLE"]).toContain((error as { code?: string }).code)
})

test("RFC 8032, section 7.1, test 1: the key of a seed", () => {
  const seed = Buffer.from("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "hex")
  const { publicKey, clientId } = identityFromSeed(seed)
  expect(Buffer.from(publicKey).toString("hex")).toBe(
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
  )
  expect(clientId).toEqual(clientIdOf(publicKey))
  expect(() => identityFromSeed(seed.subarray(1))).toThrow(RangeError)
})

test("signs what libsodium signs in WebAssembly", () => {
  const identity = generateIdentity()
  const { privateKey } = sodium.crypto_sign_seed_keypair(identity.secretKey)
  const theirs = sodium.crypto_sign_detached(Buffer.from("lamina/v1/a\0part"), privateKey)
  expect(sign(identity, "lamina/v1/a", Buffer.from("part"))).toEqual(theirs)
})

test("a public key of small order verifies nothing", () => {
  // the neutral point (0, 1): with R the same and S = 0 the equation S·B = R + k·A holds for every message
  const neutral = Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0))
  const signature = Uint8Array.from({ length: 64 }, (_, i) => (i === 0 ? 1 : 0))
  expect(verify(neutral, signature, "lamina/v1/a", Uint8Array.of(1))).toBe(false)
})
