import { appendFile, mkdtemp, open, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import type { JournalEntry } from "./journal.js"
import { Journal } from "./journal.js"

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lamina-journal-"))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

function entry(runId: string, round: number): JournalEntry {
  return { runId, round, status: "ACCEPTED", sequence: 10 + round, envelopeRoot: `a${round}`, headerHash: `b${round}` }
}

test("a new process finds what was appended, by run and round", async () => {
  const path = join(folder, "deep", "journal.jsonl")
  const journal = await Journal.open(path)
  expect(journal.lastRound("run-a")).toBe(0)
  await journal.append(entry("run-a", 1))
  await journal.append(entry("run-b", 5))
  await journal.append(entry("run-a", 3))
  const again = await Journal.open(path)
  expect(again.find("run-a", 3)).toEqual(entry("run-a", 3))
  expect(again.find("run-a", 2)).toBeUndefined()
  expect([again.lastRound("run-a"), again.lastRound("run-b")]).toEqual([3, 5])
})

test("a line that a crash cut off was never written, and the next one takes its place", async () => {
  const path = join(folder, "journal.jsonl")
  await (await Journal.open(path)).append(entry("run-a", 1))
  await appendFile(path, '{"runId":"run-a","round":2,"sta')
  const journal = await Journal.open(path)
  expect(journal.lastRound("run-a")).toBe(1)
  await journal.append(entry("run-a", 2))
  expect(
    (await readFile(path, "utf8"))
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line).round),
  ).toEqual([1, 2])
})

test("an entry of which a power cut left the beginning or the end alone was never written", async () => {
  const path = join(folder, "journal.jsonl")
  await (await Journal.open(path)).append(entry("run-a", 1))
  const bytes = (await readFile(path, "utf8")).trimEnd().length + 1
  for (const [text, at] of [
    ['{"runId":"run-a","round":2,"sta', bytes],
    ['ACCEPTED","sequence":12}', bytes + 40],
  ] as const) {
    const file = await open(path, "r+")
    await file.write(text, at)
    await file.close()
    const journal = await Journal.open(path)
    expect([journal.lastRound("run-a"), journal.find("run-a", 1)]).toEqual([1, entry("run-a", 1)])
    await journal.append(entry("run-a", 2))
    expect((await Journal.open(path)).find("run-a", 2)).toEqual(entry("run-a", 2))
    await rm(path)
    await (await Journal.open(path)).append(entry("run-a", 1))
  }
})
