import { existsSync } from "node:fs"
import { link, mkdir, mkdtemp, open, readFile, readdir, rm, stat, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { generateRecipientKey, identityFromSeed, openEnvelope } from "@lamina/crypto"

import type { VerifiedTask } from "../verify.js"
import { Spool } from "./spool.js"

const identity = identityFromSeed(new Uint8Array(32).fill(7))
const recipient = generateRecipientKey()
const federationId = new Uint8Array(32).fill(1)
const headerHash = new Uint8Array(32).fill(2)
const name = { runId: "run.with.dots", round: 12 }
const task = { ...name, headerHash, header: { recipientKey: recipient.publicKey } } as VerifiedTask
// 300,000 bytes: more than one chunk of 262,144
const update = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) & 255)

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lamina-spool-"))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test("a sealed update is found again by run and round, and its chunks are the envelope", async () => {
  const sealed = await (await Spool.open(folder)).seal(name, { identity, task, federationId, update })
  const spool = await Spool.open(folder)
  expect(await spool.list()).toEqual([name])
  const found = await spool.find(name)
  expect(found?.root).toEqual(sealed.root)
  expect(found?.headerHash).toEqual(headerHash)
  expect(found?.leaves).toHaveLength(2)
  const envelope = Buffer.concat([
    (await found?.chunks({ first: 0, count: 1 })) ?? new Uint8Array(0),
    (await found?.chunks({ first: 1, count: 1 })) ?? new Uint8Array(0),
  ])
  expect(envelope.byteLength).toBe(sealed.bytes)
  const expected = { federationId, roundHeaderHash: headerHash, clientId: identity.clientId }
  expect(Buffer.from(openEnvelope(envelope, { recipientSecretKey: recipient.secretKey, expected }))).toEqual(
    Buffer.from(update),
  )
})

test("a second envelope for a round is never made", async () => {
  const spool = await Spool.open(folder)
  const first = await spool.seal(name, { identity, task, federationId, update })
  await expect(spool.seal(name, { identity, task, federationId, update })).rejects.toThrow("sealed already")
  expect((await spool.find(name))?.root).toEqual(first.root)
})

test("a chunk that the disk changed is refused, the others are still read", async () => {
  const spool = await Spool.open(folder)
  const sealed = await spool.seal(name, { identity, task, federationId, update })
  const file = await open(join(folder, "run.with.dots.12", "envelope"), "r+")
  await file.write(Uint8Array.of(0xaa, 0xbb), 0, 2, 262_144 + 100)
  await file.close()
  await expect(sealed.chunks({ first: 1, count: 1 })).rejects.toMatchObject({ code: "BLOB_CORRUPT" })
  expect((await sealed.chunks({ first: 0, count: 1 })).byteLength).toBe(262_144)
})

test("what a run left unsealed goes with it, a sealed round stays", async () => {
  const spool = await Spool.open(folder)
  await spool.seal(name, { identity, task, federationId, update })
  await writeFile(join(spool.makeWorkFolder({ ...name, round: 13 }), "checkpoint"), "x")
  spool.makeWorkFolder({ runId: "other", round: 1 })
  await spool.removeWork(name.runId)
  expect((await readdir(folder)).sort()).toEqual(["other.1", "run.with.dots.12"])
  expect((await readFile(join(folder, "run.with.dots.12", "envelope"))).byteLength).toBeGreaterThan(300_000)
})

test("what an earlier process left is known", async () => {
  const before = await Spool.open(folder)
  await before.seal(name, { identity, task, federationId, update })
  before.makeWorkFolder({ ...name, round: 13 })
  before.close()
  const spool = await Spool.open(folder)
  expect(await spool.list()).toEqual([name])
  await spool.remove(name)
  await spool.removeWork(name.runId)
  expect([await spool.list(), await readdir(folder)]).toEqual([[], []])
})

const round = (number: number) => ({ runId: "run", round: number })
const place = (number: number): string => join(folder, `run.${number}`, "envelope")
const sealRound = (spool: Spool, number: number, bytes = 300_000) =>
  spool.seal(round(number), { identity, task, federationId, update: update.subarray(0, bytes) })

/** What another process finds: the very envelope that was sealed, alone in its folder. */
async function expectWhole(number: number, { root, bytes }: { root: Uint8Array; bytes: number }): Promise<void> {
  const found = await (await Spool.open(folder)).find(round(number))
  expect(found?.root).toEqual(root)
  expect((await stat(place(number))).size).toBe(bytes + 64) // and the signature
  expect(await readdir(join(folder, `run.${number}`))).toEqual(["envelope"])
}

test("an envelope is written over the file of the round before, be it longer or shorter", async () => {
  const spool = await Spool.open(folder)
  await sealRound(spool, 1)
  const { ino } = await stat(place(1))
  for (const [number, bytes] of [300_000, 290_000, 299_000, 20_000].entries()) {
    await spool.remove(round(number + 1))
    expect(await readdir(folder)).toEqual(["spare"])
    expect(await spool.list()).toEqual([])
    const sealed = await sealRound(spool, number + 2, bytes)
    expect((await stat(place(number + 2))).ino).toBe(ino)
    expect(await readdir(folder)).toEqual([`run.${number + 2}`])
    await expectWhole(number + 2, sealed)
  }
  await spool.remove(round(5))
  spool.close()
  expect(await readdir(folder)).toEqual([])
})

test("what a crash left of a file that was written over is no envelope, and goes", async () => {
  await writeFile(join(folder, "spare"), update)
  const spool = await Spool.open(folder)
  expect(await spool.list()).toEqual([])
  expect(await readdir(folder)).toEqual([])
})

test("where a power cut left one file under two names, the envelope stays what it was", async () => {
  const sealed = await sealRound(await Spool.open(folder), 2)
  await mkdir(join(folder, "run.1"))
  await link(place(2), place(1)) // the name of round 1, which was answered, came back
  await link(place(2), join(folder, "spare"))
  const spool = await Spool.open(folder)
  await spool.remove(round(1))
  await sealRound(spool, 3)
  await expectWhole(2, sealed)
})

test("two envelopes at once are two files", async () => {
  const spool = await Spool.open(folder)
  await sealRound(spool, 1)
  await spool.remove(round(1))
  const [left, right] = await Promise.all([sealRound(spool, 2), sealRound(spool, 3, 290_000)])
  await expectWhole(2, left)
  await expectWhole(3, right)
})

test("a round that is removed while the next is written does not take its file", async () => {
  const spool = await Spool.open(folder)
  await sealRound(spool, 1)
  const sealing = sealRound(spool, 2)
  while (!existsSync(join(folder, "run.2"))) await new Promise(setImmediate) // made when its file is
  await spool.remove(round(1))
  await expectWhole(2, await sealing)
  expect(await readdir(folder)).toEqual(["run.2"])
})

test("a checkpoint goes with its round, the file of the envelope stays", async () => {
  const spool = await Spool.open(folder)
  spool.makeWorkFolder(round(1))
  await writeFile(join(spool.workFolder(round(1)), "checkpoint"), "x")
  await spool.remove(round(1)) // nothing was sealed
  expect(await readdir(folder)).toEqual([])
  spool.makeWorkFolder(round(2))
  await sealRound(spool, 2)
  await spool.remove(round(2))
  expect(await readdir(folder)).toEqual(["spare"])
})

/** /dev/full answers every write with ENOSPC, as a full disk does. */
const onLinux = process.platform === "linux" ? test : test.skip
onLinux("a disk that is full leaves no envelope, and no file to write over", async () => {
  const spool = await Spool.open(folder)
  await symlink("/dev/full", join(folder, "spare"))
  await expect(sealRound(spool, 1)).rejects.toMatchObject({ code: "STORAGE_FULL" })
  expect(await readdir(folder)).toEqual(["run.1"])
  expect(await readdir(join(folder, "run.1"))).toEqual([])
  await expectWhole(1, await sealRound(spool, 1))
})
