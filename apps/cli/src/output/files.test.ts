import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { History } from "../simulate/journal.js"
import { appendText, checkWritable, readIfThere, writeText } from "./files.js"

const folder = mkdtempSync(join(tmpdir(), "lamina-files-"))

test("a path that is a folder fails with a code, read or written", async () => {
  await expect(writeText(folder, "x")).rejects.toMatchObject({ code: "FILE_UNWRITABLE" })
  await expect(checkWritable(folder)).rejects.toMatchObject({ code: "FILE_UNWRITABLE" })
  expect(() => appendText(folder, "x")).toThrow(expect.objectContaining({ code: "FILE_UNWRITABLE" }))
  await expect(readIfThere(folder)).rejects.toMatchObject({ code: "FILE_UNREADABLE" })
  mkdirSync(join(folder, "history.jsonl"))
  expect(() => new History(folder)).toThrow(expect.objectContaining({ code: "FILE_UNREADABLE" }))
  rmSync(join(folder, "history.jsonl"), { recursive: true })
})

test("what could be written is left as it is", async () => {
  const there = join(folder, "there")
  await writeText(there, "x")
  await checkWritable(there)
  expect(await readIfThere(there)).toBe("x")
  await checkWritable(join(folder, "new"))
  expect(readdirSync(folder)).toEqual(["there"])
})
