import { mkdtemp, open, readFile, readdir, rm, writeFile } from "node:fs/promises"
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
  const { mkdir } = await import("node:fs/promises")
  await mkdir(spool.workFolder({ ...name, round: 13 }), { recursive: true })
  await writeFile(join(spool.workFolder({ ...name, round: 13 }), "checkpoint"), "x")
  await mkdir(spool.workFolder({ runId: "other", round: 1 }), { recursive: true })
  await spool.removeWork(name.runId)
  expect((await readdir(folder)).sort()).toEqual(["other.1", "run.with.dots.12"])
  expect((await readFile(join(folder, "run.with.dots.12", "envelope"))).byteLength).toBeGreaterThan(300_000)
})
