import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { identityFromSeed } from "./identity.js"
import { openEnvelope } from "./open.js"
import { generateRecipientKey } from "./recipient.js"
import { sealToBytes } from "./seal.js"
import { readSealed, sealEnvelope, spoolEnvelope } from "./spool.js"

const identity = identityFromSeed(new Uint8Array(32).fill(5))
const recipient = generateRecipientKey()
const round = { federationId: new Uint8Array(32).fill(1), roundHeaderHash: new Uint8Array(32).fill(2) }
const plaintext = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) & 0xff)
const input = { identity, ...round, recipientKey: recipient.publicKey, plaintext }
const folder = (): string => mkdtempSync(join(tmpdir(), "lamina-spool-"))

test("a spooled envelope is found again with the same parts; nothing but it is in the folder", async () => {
  const path = join(folder(), "deep", "round-1")
  const sealed = await sealEnvelope(input, path)
  expect(await readSealed(path)).toEqual(sealed)
  expect(sealed.leaves).toHaveLength(2)
  expect(readdirSync(join(path, ".."))).toEqual(["round-1"])
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const expected = { ...round, clientId: identity.clientId }
  const opened = openEnvelope(readFileSync(path).subarray(0, sealed.bytes), {
    recipientSecretKey: recipient.secretKey,
    expected,
  })
  expect(Buffer.compare(opened, plaintext)).toBe(0)
})

test("no spool is undefined, not an error", async () => {
  expect(await readSealed(join(folder(), "none"))).toBeUndefined()
})

test("what a crash left half-written is replaced", async () => {
  const path = join(folder(), "round-1")
  writeFileSync(`${path}.part`, new Uint8Array(1_000_000))
  const sealed = await sealEnvelope(input, path)
  expect(statSync(path).size).toBe(sealed.bytes + 64)
  expect(existsSync(`${path}.part`)).toBe(false)
})

test("a file that was cut, lengthened or is something else is BLOB_CORRUPT", async () => {
  const path = join(folder(), "round-1")
  const { bytes } = await sealEnvelope(input, path)
  const whole = readFileSync(path)
  for (const size of [0, 63, 64, 71, 72, 300, bytes, bytes + 63]) {
    truncateSync(path, size)
    await expect(readSealed(path)).rejects.toMatchObject({ code: "BLOB_CORRUPT" })
    writeFileSync(path, whole)
  }
  writeFileSync(path, Buffer.concat([whole, Buffer.of(0)]))
  await expect(readSealed(path)).rejects.toMatchObject({ code: "BLOB_CORRUPT" })
})

/** /dev/full answers every write with ENOSPC, as a full disk does; the link stands where the spool is written first. */
const onLinux = process.platform === "linux" ? test : test.skip
onLinux("a full disk is STORAGE_FULL and leaves nothing behind", async () => {
  const path = join(folder(), "round-1")
  symlinkSync("/dev/full", `${path}.part`)
  await expect(sealEnvelope(input, path)).rejects.toMatchObject({ code: "STORAGE_FULL" })
  expect(readdirSync(join(path, ".."))).toEqual([])
})

test("a spool path that cannot be written is FILE_UNWRITABLE", async () => {
  const parent = join(folder(), "file")
  writeFileSync(parent, "")
  await expect(sealEnvelope(input, join(parent, "x"))).rejects.toMatchObject({ code: "FILE_UNWRITABLE" })
})

test.each([0, 1, 300_000, 2_000_000])("an envelope written over a file of %i bytes is the envelope", async (bytes) => {
  const place = folder()
  const [path, spare] = [join(place, "deep", "round-1"), join(place, "spare")]
  const { envelope, signature, ...parts } = sealToBytes(input)
  writeFileSync(spare, new Uint8Array(bytes).fill(0xaa), { mode: 0o600 })
  const { ino } = statSync(spare)
  await spoolEnvelope({ envelope, signature }, path, spare)
  expect(statSync(path).ino).toBe(ino)
  expect(existsSync(spare)).toBe(false)
  expect(Buffer.compare(readFileSync(path), Buffer.concat([envelope, signature]))).toBe(0)
  expect(await readSealed(path)).toEqual({ ...parts, signature, path })
})
