import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import type { CountedUpdate } from "./jobs.js"
import { OpenAhead } from "./open-ahead.js"
import { forget } from "./open-update.js"
import { sealedUpdate } from "./testing/sealed-update.js"

let folder: string
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "lamina-ahead-"))))
afterEach(() => rmSync(folder, { recursive: true }))

const updateOf = (i: number, features: number): CountedUpdate => sealedUpdate(folder, i, features)

test.each([
  ["small", 10],
  ["large", 200_000],
])("%s updates come one after another, whoever is faster", async (_, features) => {
  const updates = Array.from({ length: 9 }, (_, i) => updateOf(i, i % 2 ? features : Math.ceil(features / 9)))
  const ahead = new OpenAhead(updates)
  for (const [i, { envelopeBytes }] of updates.entries()) {
    expect(ahead.hasNext([])).toBe(true)
    const opened = await ahead.next([])
    const [module] = opened.content.adapter.modules
    expect(opened.memory.byteLength).toBeLessThan(envelopeBytes)
    expect(module?.a.every((value) => value === i)).toBe(true)
    forget(opened)
  }
  expect(ahead.hasNext([])).toBe(false)
})

test("one that cannot be opened is told when it is its turn", async () => {
  const updates = [0, 1, 2, 3].map((i) => updateOf(i, 100_000))
  rmSync((updates[1]!.source as { path: string }).path)
  const ahead = new OpenAhead(updates)
  expect((await ahead.next([])).content.adapter.modules[0]?.a[0]).toBe(0)
  await expect(ahead.next([])).rejects.toMatchObject({ code: "ENOENT" })
})

test("none is opened ahead where those that are open leave no room", async () => {
  const updates = [0, 1].map((i) => updateOf(i, 1_000))
  const ahead = new OpenAhead(updates)
  const open = [{ memory: new Uint8Array(2 ** 28) }]
  await ahead.next(open)
  expect(ahead.hasNext(open)).toBe(false)
  expect(ahead.hasNext([])).toBe(true)
  expect((await ahead.next([])).content.adapter.modules[0]?.a[0]).toBe(1)
})
