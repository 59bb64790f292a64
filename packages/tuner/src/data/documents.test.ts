import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import type { DataFields, DataSource } from "../api.js"
import { parseCsv } from "./csv.js"
import { loadDocuments } from "./documents.js"
import type { Document } from "./documents.js"

const said = (text: string): Document => ({ segments: [{ text, predicted: true }] })
const answered = (prompt: string, response: string): Document => ({
  segments: [
    { text: prompt, predicted: false },
    { text: response, predicted: true, ends: true },
  ],
})

let folder = ""
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-data-"))))
afterEach(() => rm(folder, { recursive: true }))

const load = async (
  kind: "text" | "jsonl" | "csv",
  content: string | Uint8Array,
  fields?: DataFields,
): Promise<Document[]> => {
  const path = join(folder, `data.${kind}`)
  await writeFile(path, content)
  return loadDocuments(fields ? ({ kind, paths: [path], fields } as DataSource) : { kind, paths: [path] })
}

describe("text", () => {
  test("is one document per file, in the order given, as it stands", async () => {
    await writeFile(join(folder, "b"), "second\r\n")
    await writeFile(join(folder, "a"), "\ufefffirst\n") // the byte order mark is no text
    const paths = ["a", "b"].map((name) => join(folder, name))
    expect(await loadDocuments({ kind: "text", paths })).toEqual([said("first\n"), said("second\r\n")])
  })

  test("is split at its separator, empty parts left out", async () => {
    await writeFile(join(folder, "a"), "one\n===\ntwo\n===\n\n===\n")
    const source = { kind: "text", paths: [join(folder, "a")], separator: "\n===\n" } as const
    expect(await loadDocuments(source)).toEqual([said("one"), said("two")])
  })

  test("that is no UTF-8 is refused", async () => {
    await expect(load("text", Uint8Array.of(0x61, 0xff))).rejects.toMatchObject({ code: "DATA_MALFORMED" })
  })

  test("that is empty is refused", async () => {
    await expect(load("text", "")).rejects.toMatchObject({ code: "DATA_EMPTY" })
  })

  test("that is not there is refused", async () => {
    const paths = [join(folder, "none")]
    await expect(loadDocuments({ kind: "text", paths })).rejects.toMatchObject({ code: "FILE_UNREADABLE" })
  })
})

describe("documents in memory", () => {
  test("are taken as they are", async () => {
    expect(await loadDocuments({ kind: "documents", documents: ["x", "", "y"] })).toEqual([said("x"), said("y")])
  })

  test("must not all be empty", async () => {
    await expect(loadDocuments({ kind: "documents", documents: [""] })).rejects.toMatchObject({ code: "DATA_EMPTY" })
    await expect(loadDocuments({ kind: "documents", documents: [] })).rejects.toMatchObject({ code: "DATA_EMPTY" })
  })
})

describe("jsonl", () => {
  const SHAPES: [object, Document, DataFields?][] = [
    [{ text: "a", prompt: "b" }, said("a")],
    [{ prompt: "q ", response: "r" }, answered("q ", "r")],
    [{ prompt: "q ", completion: "c" }, answered("q ", "c")],
    [{ instruction: "do", output: "done" }, answered("do\n\n", "done")],
    [{ instruction: "do", input: "", output: "done" }, answered("do\n\n", "done")],
    [{ instruction: "do", input: "this", output: "done" }, answered("do\n\nthis\n\n", "done")],
    [{ body: "b", text: "t" }, said("b"), { text: "body" }],
    [{ question: "q", answer: "a", text: "t" }, answered("q", "a"), { prompt: "question", response: "answer" }],
  ]
  test.each(SHAPES.map(([row, document, fields]) => [row, document, fields] as const))(
    "row %j is %j",
    async (row, document, fields) => {
      expect(await load("jsonl", `${JSON.stringify(row)}\n`, fields)).toEqual([document])
    },
  )

  test("may have CRLF, empty lines, a byte order mark and no last line end", async () => {
    const content = '\ufeff{"text":"a\\nb"}\r\n\r\n  \n{"text":"c"}'
    expect(await load("jsonl", content)).toEqual([said("a\nb"), said("c")])
  })

  const BAD: [string, string, RegExp, DataFields?][] = [
    ["broken JSON", '{"text":"a"}\n\n{"text":', /data\.jsonl:3: expected a JSON object$/],
    ["a list", '{"text":"a"}\n[1]', /:2: expected a JSON object/],
    ["null", "null", /:1: expected a JSON object/],
    ["a number for text", '{"text":5}', /:1: field "text": expected text, got number$/],
    ["null for a response", '{"prompt":"p","response":null}', /:1: field "response": expected text, got object$/],
    ["a list for input", '{"instruction":"i","input":[],"output":"o"}', /:1: field "input"/],
    ["no known field", '{"a":1,"b":2}', /:1: expected text, messages,.* got "a", "b"$/],
    ["a missing named field", '{"text":"a"}', /:1: field "body": expected text, got nothing$/, { text: "body" }],
    ["only one named field", '{"text":"a"}', /:1: fields: expected prompt and response together/, { prompt: "text" }],
    ["both kinds of named fields", '{"text":"a"}', /:1: fields: expected either/, { text: "text", prompt: "p" }],
    ["a field of the prototype", '{"text":"a"}', /:1: field "toString": expected text/, { text: "toString" }],
  ]
  test.each(BAD.map(([what, content, message, fields]) => [what, content, message, fields] as const))(
    "with %s is refused with file, line and field",
    async (_, content, message, fields) => {
      const failure = load("jsonl", content, fields)
      await expect(failure).rejects.toMatchObject({
        code: "DATA_MALFORMED",
        message: expect.stringMatching(message) as string,
      })
    },
  )

  test("is never quoted in an error", async () => {
    const failure = await load("jsonl", '{"text": "my secret').catch((error: Error) => error)
    expect(failure).toMatchObject({ code: "DATA_MALFORMED" })
    expect((failure as Error).message).not.toContain("secret")
    expect((failure as Error).cause).toBeUndefined()
  })
})

describe("csv", () => {
  test("has quotes, commas, doubled quotes and line ends inside fields, and any line end between", async () => {
    const content = '\ufeffid,text\r\n1,plain\r\n2,"a, ""b""\r\nc"\n3,""\r4,last'
    expect(await load("csv", content)).toEqual([said("plain"), said('a, "b"\r\nc'), said("last")])
  })

  test("takes the columns named", async () => {
    const fields = { prompt: "mr", response: "ref" }
    expect(await load("csv", 'mr,ref\n"name[X], food[Y]",X serves Y.\n', fields)).toEqual([
      answered("name[X], food[Y]", "X serves Y."),
    ])
  })

  const BAD: [string, string, RegExp][] = [
    ["a record too short", "id,text\n1,a\n2\n", /data\.csv:3: expected 2 fields as in the header, got 1/],
    ["a record too long", 'id,text\n1,"a\nb"\n2,b,c\n', /:4: expected 2 fields as in the header, got 3/],
    ["a quote never closed", 'text\na\n"b\nc', /:3: .*never closed/],
    ["a quote inside a field", 'text\na"b\n', /:2: .*a quote inside an unquoted field/],
    ["text behind a quote", 'text\n"a"b\n', /:2: .*text behind a closing quote/],
    ["a column twice", "text,text\na,b\n", /:1: .*"text" twice/],
    ["no known column", "a,b\n1,2\n", /:2: expected text, messages, conversations, prompt and response/],
  ]
  test.each(BAD)("with %s is refused with file and line", async (_, content, message) => {
    await expect(load("csv", content)).rejects.toMatchObject({
      code: "DATA_MALFORMED",
      message: expect.stringMatching(message) as string,
    })
  })

  test("with a header alone is empty", async () => {
    await expect(load("csv", "text\n")).rejects.toMatchObject({ code: "DATA_EMPTY" })
  })

  test("lines of records count line ends inside fields", () => {
    expect(parseCsv('a,"1\r\n2\n3"\nb,\r\n\nc,d,')).toEqual([
      { line: 1, fields: ["a", "1\r\n2\n3"] },
      { line: 4, fields: ["b", ""] },
      { line: 6, fields: ["c", "d", ""] },
    ])
  })

  test("a quoted field of a megabyte of quotes is read", () => {
    const field = '"'.repeat(500_000)
    expect(parseCsv(`"${field.replaceAll('"', '""')}"`)).toEqual([{ line: 1, fields: [field] }])
  })
})
