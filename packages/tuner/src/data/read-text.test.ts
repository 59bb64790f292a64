import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { loadDocuments } from "./documents.js"
import { readLines, readTexts } from "./read-text.js"

let folder = ""
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-text-"))))
afterEach(() => rm(folder, { recursive: true }))

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = []
  for await (const item of items) all.push(item)
  return all
}
const write = async (content: string): Promise<string> => {
  const path = join(folder, "a.txt")
  await writeFile(path, content)
  return path
}

test("lines are whole wherever the reads fall, and numbered", async () => {
  // 300,000 bytes a line: no read of 262,144 bytes ends at a line end; é falls on a read's edge somewhere
  const lines = ["a".repeat(299_999), "é".repeat(150_000), "", "last"]
  const read = await collect(readLines(await write(lines.join("\n"))))
  expect(read).toEqual(lines.map((text, index) => ({ line: index + 1, text })))
})

test("a long text comes in parts that end where words part, and is the text when put together", async () => {
  const text = "one two three\nfour\n\n  five 5 six\n".repeat(400_000) // 13 MB: parts of 4 Mi characters at most
  const parts = await collect(readTexts(await write(text), undefined))
  expect(parts.length).toBeGreaterThan(3)
  expect(parts.map((part) => part.text).join("")).toBe(text)
  expect(parts.map(({ continues }) => continues ?? false)).toEqual(parts.map((_, i) => i < parts.length - 1))
  for (const part of parts.slice(0, -1)) expect(part.text).toMatch(/\n$/)
  for (const part of parts.slice(1)) expect(part.text).toMatch(/^[a-z]/)
})

test("a separator that lies across two parts still parts documents", async () => {
  const pad = "word ".repeat(900_000) // 4.5 M characters: over the 4 Mi of a part
  const path = await write(`${pad}\n=====\nnext`)
  const parts = await collect(readTexts(path, "\n=====\n"))
  expect(parts.at(-1)).toEqual({ text: "next" })
  expect(
    parts
      .map(({ text }) => text)
      .join("|")
      .endsWith("word |next"),
  ).toBe(true)
})

test("text without a line end and a space is refused rather than held in memory", async () => {
  const path = await write(`one\n${"two words\n".repeat(600_000)}${"0".repeat(2 ** 27)}`)
  await expect(loadDocuments({ kind: "text", paths: [path] })).rejects.toMatchObject({
    code: "DATA_MALFORMED",
    message: expect.stringMatching(/a\.txt:(600001|600002): expected at most/) as string,
  })
})

test.each([
  ["in a character that two reads share", 2 ** 18 - 1, [0xc3, 0x28], 2 ** 18],
  ["behind a whole character", 2 ** 18 - 3, [0xe2, 0x82, 0xac, 0x80], 2 ** 18],
  ["at the end", 10, [0xf0, 0x9f, 0x92], 13],
])("bytes that are no UTF-8 are refused with their place: %s", async (_, start, bytes, place) => {
  const path = join(folder, "bytes.txt")
  await writeFile(path, Buffer.concat([Buffer.alloc(start, "a"), Uint8Array.from(bytes)]))
  const message = `${path}: expected UTF-8 text, got other bytes at byte ${place}`
  await expect(collect(readLines(path))).rejects.toMatchObject({ code: "DATA_MALFORMED", message })
})

test("the two parts of a divided source have every row once, and stay the same", async () => {
  const documents = Array.from({ length: 1000 }, (_, i) => String(i))
  const load = async (heldOut: boolean, seed = 1): Promise<string[]> => {
    const part = { share: 0.1, seed, heldOut }
    const all = await loadDocuments({ kind: "documents", documents, part })
    return all.map(({ segments }) => segments[0]?.text ?? "")
  }
  const held = await load(true)
  expect([...held, ...(await load(false))].sort()).toEqual([...documents].sort())
  // 100 expected; a binomial of 1,000 draws at 0.1 has a deviation of 9.5, and the draw is fixed
  expect(Math.abs(held.length - 100)).toBeLessThan(40)
  expect(await load(true)).toEqual(held)
  expect(await load(true, 2)).not.toEqual(held)
})

test("a source whose held-out part is empty says so", async () => {
  const part = { share: 0.001, seed: 1, heldOut: true }
  await expect(loadDocuments({ kind: "documents", documents: ["one"], part })).rejects.toMatchObject({
    code: "DATA_EMPTY",
    message: expect.stringContaining("in its held-out part") as string,
  })
})
