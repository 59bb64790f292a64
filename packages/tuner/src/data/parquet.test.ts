import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { threefry } from "../model/counter-random.js"
import { loadDocuments } from "./documents.js"
import type { Document } from "./documents.js"

/** Written by pyarrow: test/oracle/parquet_files.py. */
const folder = "test/vectors/data/"
const fields = { prompt: "mr", response: "ref" }
const answered = (prompt: string, response: string): Document => ({
  segments: [
    { text: prompt, predicted: false },
    { text: response, predicted: true, ends: true },
  ],
})

test.each(["none", "snappy", "zstd", "gzip"])("rows of several row groups are read, codec %s", async (codec) => {
  const source = { kind: "parquet", paths: [`${folder}pairs-${codec}.parquet`], fields } as const
  expect(await loadDocuments(source)).toEqual([
    answered("name[Aromi], food[Thai]", "Aromi serves Thai food."),
    answered("name[Zizzi]", "Zizzi é, “quoted”\nand on a second line."),
    answered("name[Aromi], area[riverside]", "Aromi is by the river."),
    answered("name[Giraffe]", ""),
  ])
})

test("lists of messages are conversations", async () => {
  const documents = await loadDocuments({ kind: "parquet", paths: [`${folder}chats.parquet`] })
  expect(documents.map(({ segments }) => segments.map(({ text }) => text).join(""))).toEqual([
    "User:\n1+1?\n\nAssistant:\n2",
    "System:\nBe brief.\n\nUser:\n2+2?\n\nAssistant:\n4",
  ])
})

const BAD: [string, object, RegExp][] = [
  ["null.parquet", {}, /null\.parquet: row 2: field "text": expected text, got object$/],
  ["pairs-none.parquet", {}, /: row 1: expected text, messages,.* got "mr", "ref", "stars"$/],
  ["pairs-none.parquet", { fields: { text: "stars" } }, /: row 1: field "stars": expected text, got bigint$/],
]
test.each(BAD)("%s with %j is refused with its row and field", async (name, options, message) => {
  const refused = loadDocuments({ kind: "parquet", paths: [`${folder}${name}`], ...options })
  await expect(refused).rejects.toMatchObject({
    code: "DATA_MALFORMED",
    message: expect.stringMatching(message) as string,
  })
})

test("cut and changed files are refused or read, and nothing else happens", async () => {
  const scratch = await mkdtemp(join(tmpdir(), "lamina-parquet-"))
  const path = join(scratch, "a.parquet")
  const outcome = async (bytes: Uint8Array): Promise<string> => {
    await writeFile(path, bytes)
    try {
      await loadDocuments({ kind: "parquet", paths: [path], fields })
      return "read"
    } catch (error) {
      if (error instanceof LaminaError) return error.code
      throw error
    }
  }
  try {
    const whole = await readFile(`${folder}pairs-snappy.parquet`)
    for (let length = 0; length < whole.length; length += 61)
      expect(await outcome(whole.subarray(0, length))).toBe("DATA_MALFORMED")
    for (let i = 0; i < 600; i++) {
      const [at, value] = threefry([7, 7], [i, 0])
      const changed = Uint8Array.from(whole)
      changed[at % whole.length] = value % 256
      expect(["read", "DATA_MALFORMED", "DATA_EMPTY"]).toContain(await outcome(changed))
    }
  } finally {
    await rm(scratch, { recursive: true })
  }
})
