import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import type { PlanRow, RoundRow, UploadRow } from "./schema.js"
import { openSqliteStore } from "./sqlite-store.js"
import type { LoggedEvent, NewUpdate, Store } from "./store.js"

const failures: Error[] = []
const file = () => join(mkdtempSync(join(tmpdir(), "lamina-store-")), "lamina.db")
const open = (path = file()) => openSqliteStore(path, (error) => failures.push(error))

const bytes = (...values: number[]) => Uint8Array.from(values)
const BASE = { hash: "ba5e", folder: "/base", manifest: bytes(1) }
const RUN = {
  ...{
    id: "run",
    name: "run",
    recipe: "{}",
    recipe_hash: "00",
    base_hash: "ba5e",
    modules: "[]",
    shape: null,
    state: "active" as const,
  },
  ...{ reason: null, global_adapter_hash: null, created_ms: 1_700_000_000_000, ended_ms: null },
}
const roundRow = (round: number): RoundRow => ({
  ...{
    run_id: "run",
    round,
    state: "collecting",
    header: bytes(1),
    header_hash: `h${round}`,
    header_signature: bytes(2),
  },
  ...{ recipient_secret: bytes(3), terms: "{}", cohort: 2, accepted: 0, rejected: 0, adapter_hash: null, report: null },
  ...{ reason: null, opened_ms: 5, ended_ms: null },
})
const plan = (round: number, id: string): PlanRow => ({
  run_id: "run",
  round,
  client_id: id,
  client_name: `n-${id}`,
  plan: bytes(4),
  signature: bytes(5),
  estimate_ms: 250,
  train_ms: 200,
})
const logged = (round: number, seq: number, state: LoggedEvent["state"] = "collecting"): LoggedEvent => ({
  runId: "run",
  round,
  seq,
  event: { kind: "tick" },
  atMs: 6,
  state,
})
const update = (id: string, root: string, changes: Partial<NewUpdate> = {}): NewUpdate => ({
  ...{ run_id: "run", round: 1, client_id: id, envelope_root: root, status: "ACCEPTED", code: 0, weight: 1e12 },
  ...{ metrics: "{}", scores: "{}", counted_round: null, envelope_bytes: 7, at_ms: 8 },
  ...changes,
})
const record = async (store: Store, row: NewUpdate, event: LoggedEvent) =>
  (await store.recordUpdates([{ update: row, logged: event }]))[0]
const upload = (id: string, client: string, root: string, round = 1): UploadRow => ({
  ...{ id, run_id: "run", round, client_id: client, header: bytes(1), signature: bytes(2), leaves: bytes(3) },
  ...{ envelope_root: root, envelope_bytes: 9, opened_ms: 10 },
})

async function withRound(store: Store): Promise<Store> {
  for (const id of ["a", "b"])
    await store.upsertClient({
      id,
      public_key: bytes(1),
      name: id,
      capability: "{}",
      first_seen_ms: 1,
      last_seen_ms: 1,
    })
  await store.createRun(RUN, { row: BASE, files: [{ base_hash: "ba5e", path: "x", hash: "f00d", bytes: 3 }] })
  await store.openRound(roundRow(1), [plan(1, "a"), plan(1, "b")], logged(1, 1))
  return store
}

test("what was written is there after the store is opened again", async () => {
  const path = file()
  const first = await withRound(await open(path))
  expect(await record(first, update("a", "r1"), logged(1, 2))).toBe(1)
  await first.close()
  const store = await open(path)
  expect(await store.run("run")).toEqual(RUN)
  expect(await store.updates("run", 1)).toEqual([{ ...update("a", "r1"), sequence: 1 }])
  expect((await store.events("run", 1)).map(({ seq }) => seq)).toEqual([1, 2])
  expect(await store.round("run", 1)).toMatchObject({ accepted: 1, rejected: 0 })
  expect(await store.baseFile("f00d")).toMatchObject({ path: "x", folder: "/base", bytes: 3 })
  await store.close()
})

test("a second update of a client, and a second update with one root, leave nothing behind", async () => {
  const store = await withRound(await open())
  await record(store, update("a", "r1"), logged(1, 2))
  await expect(record(store, update("a", "r2"), logged(1, 3))).rejects.toThrow(/UNIQUE/)
  await expect(record(store, update("b", "r1"), logged(1, 3))).rejects.toThrow(/UNIQUE/)
  expect(await store.round("run", 1)).toMatchObject({ accepted: 1 })
  expect(await store.events("run", 1)).toHaveLength(2)
  expect(await record(store, update("b", "r2", { status: "REJECTED", code: 3007, weight: 0 }), logged(1, 3))).toBe(2)
  expect(await store.round("run", 1)).toMatchObject({ accepted: 1, rejected: 1 })
  await store.close()
})

test("an event of a log is written once: two writers of one sequence cannot both win", async () => {
  const store = await withRound(await open())
  await store.appendEvent(logged(1, 2, "sealed"))
  await expect(store.appendEvent(logged(1, 2, "abandoned"))).rejects.toThrow(/UNIQUE/)
  expect(await store.round("run", 1)).toMatchObject({ state: "sealed" })
  await store.close()
})

test("publishing writes event, adapter, round and run at once and erases the round's secret", async () => {
  const store = await withRound(await open())
  const adapter = { run_id: "run", round: 1, hash: "adad", bytes: 11 }
  await store.publishRound(logged(1, 2, "published"), { adapter, report: "{}" })
  expect(await store.round("run", 1)).toMatchObject({
    state: "published",
    adapter_hash: "adad",
    recipient_secret: null,
    ended_ms: 6,
  })
  expect(await store.run("run")).toMatchObject({ global_adapter_hash: "adad" })
  expect(await store.adapters()).toEqual([adapter])
  await expect(store.publishRound(logged(1, 2, "published"), { adapter, report: "{}" })).rejects.toThrow(/UNIQUE/)
  await store.close()
})

test("closing a round erases its secret once and keeps the first time and reason", async () => {
  const store = await withRound(await open())
  await store.closeRound("run", 1, { reason: "quorum-missed", atMs: 20 })
  await store.closeRound("run", 1, { reason: "cancelled", atMs: 30 })
  expect(await store.round("run", 1)).toMatchObject({ reason: "quorum-missed", ended_ms: 20, recipient_secret: null })
  await store.close()
})

test("a client has one open upload per round; uploads are emptied only once their round is over", async () => {
  const store = await withRound(await open())
  expect(await store.openUpload(upload("u1", "a", "r1"))).toBeUndefined()
  expect(await store.openUpload(upload("u2", "a", "r2"))).toBe("u1")
  expect(await store.openUpload(upload("u3", "b", "r3"))).toBeUndefined()
  expect(await store.forgetUploads()).toEqual([])
  await store.closeRound("run", 1, { reason: "quorum-missed", atMs: 20 })
  expect((await store.forgetUploads()).map(({ id }) => id).sort()).toEqual(["u2", "u3"])
  expect(await store.uploadIds()).toEqual([])
  expect(await store.upload("u2")).toMatchObject({ envelope_root: "r2", leaves: Buffer.alloc(0) })
  await expect(store.openUpload(upload("u4", "stranger", "r4"))).rejects.toThrow(/FOREIGN KEY/)
  await store.close()
})

test("the weights of a run name its clients, oldest update first", async () => {
  const store = await withRound(await open())
  await record(store, update("b", "r1", { weight: 5 }), logged(1, 2))
  await record(store, update("a", "r2", { weight: 7 }), logged(1, 3))
  expect(await store.weights("run")).toEqual([
    { client_name: "n-b", weight: 5 },
    { client_name: "n-a", weight: 7 },
  ])
  expect(failures).toEqual([])
  await store.close()
})
