import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { RECIPIENT_KEY_BYTES, hash, identityFromSeed, sign, toHex } from "@lamina/crypto"
import { encodeAdapter, messages } from "@lamina/protocol"
import type { Adapter } from "@lamina/protocol"
import { Recipe } from "@lamina/protocol/recipe"

import { readRunRecord } from "./run-record.js"
import type { ContributionRow, RoundRow, RunRow } from "./store/schema.js"
import { openSqliteStore } from "./store/sqlite-store.js"
import type { Store } from "./store/store.js"

const [coordinator, stranger] = [1, 2].map((byte) => identityFromSeed(new Uint8Array(32).fill(byte)))
const [a, b] = [Float32Array.of(1, 2), Float32Array.of(3)]
const adapter: Adapter = {
  modules: [{ name: "q", outFeatures: 1, inFeatures: 2, rank: 1, alpha: 1, scaling: "lora", a, b }],
}
const bytes = encodeAdapter(adapter)
const name = toHex(hash(bytes))
const recipe = Recipe.parse({ name: "tale", base: "base", globalAdapter: { keepUpdates: true, tau: 0.1 } })

/** A data folder as a coordinator leaves it, with a federation, a client and what `fill` adds. */
async function dataFolder(fill: (store: Store) => Promise<void> = async () => undefined): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "lamina-record-"))
  const store = await openSqliteStore(join(folder, "lamina.db"), (error) => {
    throw error
  })
  await store.createFederation({ id: "f1", coordinator_key: coordinator!.publicKey, created_ms: 1 })
  await store.upsertClient({
    ...{ id: "c1", public_key: Uint8Array.of(1), name: "north", capability: "{}" },
    ...{ first_seen_ms: 1, last_seen_ms: 1 },
  })
  await fill(store)
  await store.close()
  mkdirSync(join(folder, "adapters"))
  writeFileSync(join(folder, "adapters", name), bytes)
  return folder
}

async function addRun(store: Store, id: string, createdMs: number): Promise<void> {
  const run: RunRow = {
    ...{ id, name: "tale", recipe: JSON.stringify(recipe), recipe_hash: "00", base_hash: "ba5e", modules: "[]" },
    ...{ shape: null, state: "active", reason: null, global_adapter_hash: null },
    ...{ created_ms: createdMs, ended_ms: null },
  }
  await store.createRun(run, { row: { hash: "ba5e", folder: "/base", manifest: Uint8Array.of(1) }, files: [] })
}

interface Published {
  readonly runId: string
  readonly round: number
  /** The global adapter that its header names, hex. */
  readonly names: string
  readonly signer?: typeof coordinator
}

/** A round that one client's update was counted in; it published the client's adapter itself. */
async function addRound(store: Store, { runId, round, names, signer = coordinator }: Published): Promise<void> {
  const hash32 = new Uint8Array(32)
  const header = messages.RoundHeader.encode({
    ...{ version: 1, federationId: hash32, runId, round, mode: "open", baseHash: hash32 },
    ...{ globalAdapterHash: Uint8Array.from(Buffer.from(names, "hex")), recipeHash: hash32, cohortRoot: hash32 },
    ...{ previousHeaderHash: hash32, weightRule: "tokens", softDeadlineMs: 1, hardDeadlineMs: 2 },
    ...{ recipientKey: new Uint8Array(RECIPIENT_KEY_BYTES), strategy: "flora", seed: 0 },
  })
  const row: RoundRow = {
    ...{ run_id: runId, round, state: "collecting", header, header_hash: toHex(hash(header)) },
    ...{ header_signature: sign(signer!, "lamina/v1/header", header), recipient_secret: null, terms: "{}", cohort: 1 },
    ...{ accepted: 1, rejected: 0, adapter_hash: null, report: null, reason: null, opened_ms: 5, ended_ms: null },
  }
  const logged = { runId, round, event: { kind: "tick" as const }, atMs: 6 }
  await store.openRound(row, [], { ...logged, seq: 0, state: "collecting" })
  const contribution: ContributionRow = {
    ...{ run_id: runId, round, position: 0, client_id: "c1", client_name: "north", trained_round: round },
    ...{ weight: 2.5, hash: name },
  }
  await store.publishRound(
    { ...logged, seq: 1, state: "published" },
    { adapter: { run_id: runId, round, hash: name, bytes: bytes.length }, report: "{}", contributions: [contribution] },
  )
}

test("a run is read with its rounds, settings and the adapters of its updates", async () => {
  const folder = await dataFolder(async (store) => {
    await addRun(store, "tale-1", 1)
    await addRound(store, { runId: "tale-1", round: 1, names: "" })
    await addRound(store, { runId: "tale-1", round: 2, names: name })
    await addRun(store, "tale-2", 2)
  })
  // tale-2 is newer, but has published nothing
  const record = await readRunRecord(folder)
  expect(record).toMatchObject({
    ...{ id: "tale-1", name: "tale", base: "base", strategy: "flora", keepsUpdates: true },
    ...{ settings: { compress: { tau: 0.1 } }, clients: [{ id: "c1", name: "north" }] },
  })
  const update = { clientId: "c1", clientName: "north", weight: 2.5, hash: name }
  expect(record.rounds).toEqual([
    { round: 1, adapterHash: name, updates: [{ ...update, trainedRound: 1 }] },
    { round: 2, adapterHash: name, updates: [{ ...update, trainedRound: 2 }] },
  ])
  expect(await record.readUpdate(2, record.rounds[1]!.updates[0]!)).toEqual(adapter)
  const lost = { ...record.rounds[1]!.updates[0]!, hash: "00" }
  await expect(record.readUpdate(2, lost)).rejects.toMatchObject({
    ...{ code: "BLOB_CORRUPT", message: "round 2, update of client north: expected a blob 00, got none" },
  })
  expect((await readRunRecord(folder, "tale-2")).rounds).toEqual([])
})

test("what is not there is said with what there is", async () => {
  await expect(readRunRecord(mkdtempSync(join(tmpdir(), "lamina-record-")))).rejects.toMatchObject({
    ...{ code: "NOT_FOUND", message: expect.stringContaining("no lamina.db") },
  })
  await expect(readRunRecord(await dataFolder())).rejects.toMatchObject({ code: "NOT_FOUND" })
  await expect(readRunRecord(await dataFolder((store) => addRun(store, "tale-1", 1)), "tale-9")).rejects.toMatchObject({
    ...{ code: "NOT_FOUND", message: expect.stringContaining("no run tale-9; there are: tale-1 (tale)") },
  })
})

test.each<[string, Omit<Published, "runId" | "round">]>([
  ["that names another global adapter", { names: "ab".repeat(32) }],
  ["that somebody else signed", { names: name, signer: stranger }],
])("a round with a header %s is refused", async (_, second) => {
  const folder = await dataFolder(async (store) => {
    await addRun(store, "tale-1", 1)
    await addRound(store, { runId: "tale-1", round: 1, names: "" })
    await addRound(store, { runId: "tale-1", round: 2, ...second })
  })
  await expect(readRunRecord(folder)).rejects.toMatchObject({
    ...{ code: "BLOB_CORRUPT", message: expect.stringMatching(/^round 2: expected/) },
  })
})
