import { mkdtempSync, readdirSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { hash, toHex } from "@lamina/crypto"

import { openDiskBlobs } from "./disk-blobs.js"

const onFailure = (error: Error) => {
  throw error
}
const folderOf = () => mkdtempSync(join(tmpdir(), "lamina-blobs-"))
const content = Uint8Array.from({ length: 3_000 }, (_, i) => i % 251)
const name = toHex(hash(content))

test("a blob is found by the hash of its bytes, and putting it again changes nothing", async () => {
  const folder = folderOf()
  const blobs = openDiskBlobs(folder, onFailure)
  expect(await blobs.put(content)).toBe(name)
  expect(await blobs.put(content)).toBe(name)
  expect(readdirSync(folder)).toEqual([name])
  expect(Buffer.compare(await openDiskBlobs(folder, onFailure).read(name), content)).toBe(0)
})

test("a blob that the disk changed anywhere, or cut short, is BLOB_CORRUPT", async () => {
  for (const at of [0, 1_499, 2_999]) {
    const folder = folderOf()
    await openDiskBlobs(folder, onFailure).put(content)
    writeFileSync(
      join(folder, name),
      content.map((byte, i) => (i === at ? byte ^ 1 : byte)),
    )
    await expect(openDiskBlobs(folder, onFailure).read(name)).rejects.toMatchObject({ code: "BLOB_CORRUPT" })
  }
  const folder = folderOf()
  const blobs = openDiskBlobs(folder, onFailure)
  await blobs.put(content)
  truncateSync(join(folder, name), 100)
  await expect(blobs.read(name)).rejects.toMatchObject({ code: "BLOB_CORRUPT" })
  await blobs.put(content) // writes what is missing
  expect(Buffer.compare(await blobs.read(name), content)).toBe(0)
})

test("a hash nobody put is NOT_FOUND", async () => {
  await expect(openDiskBlobs(folderOf(), onFailure).read("00")).rejects.toMatchObject({ code: "NOT_FOUND" })
})
