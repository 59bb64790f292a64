import { mkdtempSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { loadOrCreateIdentity } from "./identity-file.js"
import { generateIdentity, sign, verify } from "./identity.js"

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
    writeFileSync(path, content)
    await expect(loadOrCreateIdentity(path)).rejects.toMatchObject({ code: "FILE_UNREADABLE" })
    expect(statSync(path).size).toBe(content.length)
  },
)

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
