import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import Database from "better-sqlite3"

import { WriteQueue } from "./write-queue.js"

/** Transactions and syncs in the order in which they came; a sync ends when it is let. */
function opened() {
  const file = join(mkdtempSync(join(tmpdir(), "lamina-writes-")), "test.db")
  const sqlite = new Database(file)
  sqlite.pragma("journal_mode = WAL")
  sqlite.exec("create table numbers (number integer primary key)")
  const reader = new Database(file, { readonly: true })
  const insert = sqlite.prepare("insert into numbers values (?)")
  let transactions = 0
  const exclusively = async (work: () => void) => {
    transactions += 1
    work()
  }
  const synchronous = () => sqlite.pragma("synchronous", { simple: true })
  const syncs: { resolve: () => void; reject: (error: Error) => void }[] = []
  const sync = () => new Promise<void>((resolve, reject) => syncs.push({ resolve, reject }))
  const numbers = () => reader.prepare("select number from numbers order by number").pluck().all()
  const queue = new WriteQueue(sqlite, { exclusively, sync })
  return { queue, insert, numbers, syncs, synchronous, transactions: () => transactions }
}

/** Lets every sync that is asked for end at once. */
function syncing(syncs: { resolve: () => void }[]): void {
  const push = syncs.push.bind(syncs)
  syncs.push = (...asked) => {
    for (const { resolve } of asked) setImmediate(resolve)
    return push(...asked)
  }
}

test("writes that come together are one transaction, and durable when they are answered", async () => {
  const { queue, insert, numbers, syncs, transactions } = opened()
  syncing(syncs)
  const results = await Promise.all([1, 2, 3].map((n) => queue.write(() => insert.run(n).changes)))
  expect(results).toEqual([1, 1, 1])
  expect(numbers()).toEqual([1, 2, 3])
  expect(transactions()).toBe(1)
})

test("a write that fails leaves nothing behind, and takes nobody along", async () => {
  const { queue, insert, numbers, syncs } = opened()
  syncing(syncs)
  const first = queue.write(() => insert.run(1))
  const failing = queue.write(() => {
    insert.run(2)
    insert.run(1)
  })
  const last = queue.write(() => insert.run(3))
  await expect(failing).rejects.toThrow(/UNIQUE/)
  await Promise.all([first, last])
  expect(numbers()).toEqual([1, 3])
})

test("nothing is answered, and nothing called durable, before the sync behind its transaction has ended", async () => {
  const { queue, insert, numbers, syncs, synchronous } = opened()
  expect(await queue.durable()).toBeUndefined() // nothing was committed: nobody is asked
  expect(syncs).toHaveLength(0)
  const said: string[] = []
  const written = queue.write(() => insert.run(1)).then(() => said.push("written"))
  while (syncs.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  expect(numbers()).toEqual([1])
  expect(synchronous()).toBe(2) // FULL again for whoever commits otherwise
  const durable = queue.durable().then(() => said.push("durable"))
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect([said, syncs.length]).toEqual([[], 2])
  for (const { resolve } of syncs) resolve()
  await Promise.all([written, durable])
})

test("a sync that fails answers nobody", async () => {
  const { queue, insert, syncs } = opened()
  const written = queue.write(() => insert.run(1))
  while (syncs.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  syncs[0]?.reject(new Error("EIO"))
  await expect(written).rejects.toThrow("EIO")
})
