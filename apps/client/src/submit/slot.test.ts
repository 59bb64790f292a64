import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { generateRecipientKey, identityFromSeed, sealToBytes } from "@lamina/crypto"

import { Slot } from "./slot.js"

const input = {
  identity: identityFromSeed(new Uint8Array(32).fill(7)),
  federationId: new Uint8Array(32).fill(1),
  roundHeaderHash: new Uint8Array(32).fill(2),
  recipientKey: generateRecipientKey().publicKey,
}
const sealedOf = (bytes: number) => sealToBytes({ ...input, plaintext: new Uint8Array(bytes).fill(9) })
const name = { runId: "run.with.dots", round: 12 }

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lamina-slot-"))
  path = join(folder, "slot")
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test("a new process finds the envelope under its round, byte for byte", async () => {
  const sealed = sealedOf(1_000)
  await (await Slot.open(path)).put(name, sealed)
  const slot = await Slot.open(path)
  expect(slot.name).toEqual(name)
  const found = await slot.find(name)
  expect(Buffer.compare(found!.envelope, sealed.envelope)).toBe(0)
  expect([found?.root, found?.signature]).toEqual([sealed.root, sealed.signature])
  expect(await slot.find({ ...name, round: 13 })).toBeUndefined()
})

test("a round that is freed makes room, and the file keeps its length", async () => {
  const slot = await Slot.open(path)
  await slot.put(name, sealedOf(2_000))
  const { size } = statSync(path)
  expect(slot.fits(sealedOf(10))).toBe(false)
  slot.free({ ...name, round: 11 })
  expect(slot.fits(sealedOf(10))).toBe(false)
  slot.free(name)
  const next = sealedOf(10)
  expect(slot.fits(next)).toBe(true)
  await slot.put({ ...name, round: 13 }, next)
  expect(statSync(path).size).toBe(size)
  expect(await slot.find(name)).toBeUndefined()
  expect((await slot.find({ ...name, round: 13 }))?.root).toEqual(next.root)
})

test("an envelope larger than the slot does not fit", async () => {
  expect((await Slot.open(path)).fits(sealedOf(16 * 1024))).toBe(false)
})

test("a name whose envelope the disk has changed is BLOB_CORRUPT: it may have been sent", async () => {
  await (await Slot.open(path)).put(name, sealedOf(1_000))
  const bytes = readFileSync(path)
  bytes[700]! ^= 1 // the first sector is the name's
  writeFileSync(path, bytes)
  await expect((await Slot.open(path)).find(name)).rejects.toMatchObject({ code: "BLOB_CORRUPT" })
})

test("a name that was cut off in the middle names nothing", async () => {
  await (await Slot.open(path)).put(name, sealedOf(1_000))
  const bytes = readFileSync(path)
  bytes[40]! ^= 1
  writeFileSync(path, bytes)
  expect((await Slot.open(path)).name).toBeUndefined()
})

test("closing leaves no file, unless an envelope is in it", async () => {
  const slot = await Slot.open(path)
  await slot.put(name, sealedOf(10))
  slot.close()
  expect(existsSync(path)).toBe(true)
  slot.free(name)
  slot.close()
  expect(existsSync(path)).toBe(false)
})
