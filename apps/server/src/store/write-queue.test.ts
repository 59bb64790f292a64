import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import Database from "better-sqlite3"

import { WriteQueue } from "./write-queue.js"

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
  const numbers = () => reader.prepare("select number from numbers order by number").pluck().all()
  return { queue: new WriteQueue(sqlite, exclusively), insert, numbers, transactions: () => transactions }
}

test("writes that come together are one transaction, and durable when they are answered", async () => {
  const { queue, insert, numbers, transactions } = opened()
  const results = await Promise.all([1, 2, 3].map((n) => queue.write(() => insert.run(n).changes)))
  expect(results).toEqual([1, 1, 1])
  expect(numbers()).toEqual([1, 2, 3])
  expect(transactions()).toBe(1)
})

test("a write that fails leaves nothing behind, and takes nobody along", async () => {
  const { queue, insert, numbers } = opened()
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
