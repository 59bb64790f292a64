import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { dataSourceOf } from "./data-source.js"

let folder = ""
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-data-"))))
afterEach(() => rm(folder, { recursive: true }))

const file = async (name: string): Promise<string> => {
  await writeFile(join(folder, name), "x")
  return join(folder, name)
}

test.each([
  ["a.txt", "text"],
  ["b.JSONL", "jsonl"],
  ["c.csv", "csv"],
  ["d.parquet", "parquet"],
])("the kind of %s is %s, by its extension", async (name, kind) => {
  const path = await file(name)
  expect(dataSourceOf(path)).toEqual({ kind, paths: [path] })
})

test("a source stays as it is", () => {
  const documents = { kind: "documents", documents: ["a"] } as const
  expect(dataSourceOf(documents)).toBe(documents)
})

test("what is not there is refused at once, wherever it stands", async () => {
  const missing = expect.objectContaining({ code: "FILE_UNREADABLE" })
  const paths = [await file("c.csv"), join(folder, "e.csv")]
  expect(() => dataSourceOf(paths)).toThrow(missing)
  expect(() => dataSourceOf({ kind: "csv", paths })).toThrow(missing)
})

test("other extensions, several kinds and options that do not fit are refused", async () => {
  const text = await file("a.txt")
  const csv = await file("a.csv")
  for (const make of [
    () => dataSourceOf(join(folder, "a.pdf")),
    () => dataSourceOf([]),
    () => dataSourceOf([text, csv]),
    () => dataSourceOf(text, { fields: { text: "a" } }),
    () => dataSourceOf(csv, { separator: "\n" }),
  ])
    expect(make).toThrow(expect.objectContaining({ code: "USAGE" }))
})
