import { LaminaError } from "@lamina/protocol/errors"

import type { DataFields, DataSource } from "../api.js"
import { isJsonObject } from "../files/json.js"
import { headerFault, parseCsv } from "./csv.js"
import { contentOf } from "./fields.js"
import type { RowContent } from "./fields.js"
import { readParquet } from "./parquet.js"
import { expectShort, readLines, readTexts } from "./read-text.js"

/** What a row holds, all its columns, and where it stands, for messages. */
export interface SourceRow {
  readonly content: RowContent
  /** As the file has them; a text is one column, `text`. Values of Parquet may be bigints, dates and bytes. */
  readonly columns: Readonly<Record<string, unknown>>
  readonly where: string
}

/** The rows of all files of a source, as streams. DATA_MALFORMED, FILE_UNREADABLE. */
export async function* readRows(source: DataSource): AsyncGenerator<SourceRow> {
  if (source.kind === "documents") {
    for (const text of source.documents) yield textRow({ text }, "the documents given")
    return
  }
  for (const path of source.paths) {
    if (source.kind === "text") {
      for await (const text of readTexts(path, source.separator)) yield textRow(text, path)
    } else if (source.kind === "jsonl") yield* readJsonl(path, source.fields)
    else if (source.kind === "csv") yield* readCsv(path, source.fields)
    else
      for await (const { row, values } of readParquet(path)) yield checked(values, source.fields, `${path}: row ${row}`)
  }
}

async function* readJsonl(path: string, fields: DataFields | undefined): AsyncGenerator<SourceRow> {
  for await (const { line, text } of readLines(path)) {
    if (text.trim() === "") continue
    const where = `${path}:${line}`
    let row: unknown
    try {
      row = JSON.parse(text)
    } catch {
      // without the parser's own message: it quotes the data, which stays on this machine
      throw malformed(where, "expected a JSON object")
    }
    if (!isJsonObject(row)) throw malformed(where, "expected a JSON object, got another value")
    yield checked(row, fields, where)
  }
}

async function* readCsv(path: string, fields: DataFields | undefined): AsyncGenerator<SourceRow> {
  let header: readonly string[] | undefined
  for await (const { line, fields: values } of csvRecords(path)) {
    const where = `${path}:${line}`
    if (header === undefined) {
      header = values
      const fault = headerFault(header)
      if (fault !== undefined) throw malformed(where, fault)
      continue
    }
    if (values.length !== header.length)
      throw malformed(where, `expected ${header.length} fields as in the header, got ${values.length}`)
    const row = Object.fromEntries(header.map((name, index) => [name, values[index]]))
    yield checked(row, fields, where)
  }
}

/** Records parsed one by one: a line end is a record's end where an even number of quotes stands before it. */
async function* csvRecords(path: string): AsyncGenerator<{ line: number; fields: readonly string[] }> {
  let text = ""
  let begin = 1
  let open = false
  const records = (): Exclude<ReturnType<typeof parseCsv>, { message: string }> => {
    const parsed = parseCsv(text, begin)
    if (!Array.isArray(parsed)) throw malformed(`${path}:${parsed.line}`, parsed.message)
    return parsed
  }
  for await (const { line, text: next } of readLines(path)) {
    if (open) text += `\n${next}`
    else {
      text = next
      begin = line
    }
    for (let at = next.indexOf('"'); at >= 0; at = next.indexOf('"', at + 1)) open = !open
    expectShort(text.length, path, begin)
    if (!open) yield* records()
  }
  if (open) yield* records()
}

function textRow(part: { text: string; continues?: true }, where: string): SourceRow {
  return { content: { kind: "text", ...part }, columns: { text: part.text }, where }
}

function checked(columns: SourceRow["columns"], fields: DataFields | undefined, where: string): SourceRow {
  const content = contentOf(columns, fields)
  if (typeof content === "string") throw malformed(where, content)
  return { content, columns, where }
}

function malformed(where: string, message: string): LaminaError {
  return new LaminaError("DATA_MALFORMED", `${where}: ${message}`)
}
