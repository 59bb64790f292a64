import { readFile } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"

import type { DataFields, DataSource } from "../api.js"
import { isJsonObject, showJson } from "../files/json.js"
import { decodeUtf8, fileError } from "../files/read-bounded.js"
import { parseCsv } from "./csv.js"
import { documentOf } from "./fields.js"

/** One document: `prompt` and then `text`, nothing between them. */
export interface Document {
  readonly prompt?: string
  readonly text: string
}

/**
 * The documents of a source, files in the order given, rows in the order written; empty ones are left out. Files are
 * UTF-8, with or without a byte order mark. `text`: a file is one document, or one per part between `separator`s.
 * `jsonl`: one object per line, empty lines apart. `csv`: RFC 4180, the first record names the columns. Which columns
 * count: see `documentOf`. DATA_MALFORMED with file, line and field; DATA_EMPTY when nothing is left; FILE_UNREADABLE.
 */
export async function loadDocuments(source: DataSource): Promise<Document[]> {
  const documents = (await readSource(source)).filter(({ prompt, text }) => text !== "" || (prompt ?? "") !== "")
  if (documents.length > 0) return documents
  const where = source.kind === "documents" ? "the documents given" : source.paths.join(", ")
  throw new LaminaError(
    "DATA_EMPTY",
    `${where || "no files"}: expected at least one document that is not empty, got none`,
  )
}

async function readSource(source: DataSource): Promise<Document[]> {
  if (source.kind === "documents") return source.documents.map((text) => ({ text }))
  const documents: Document[][] = []
  for (const path of source.paths) {
    const text = await readText(path)
    if (source.kind === "text") documents.push(splitText(text, source.separator))
    else
      documents.push(
        source.kind === "jsonl" ? parseJsonl(text, path, source.fields) : parseTable(text, path, source.fields),
      )
  }
  return documents.flat()
}

async function readText(path: string): Promise<string> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw fileError(path, cause)
  })
  return decodeUtf8(bytes, path, "DATA_MALFORMED")
}

function splitText(text: string, separator: string | undefined): Document[] {
  if (separator === undefined || separator === "") return [{ text }]
  return text.split(separator).map((part) => ({ text: part }))
}

function parseJsonl(text: string, path: string, fields: DataFields | undefined): Document[] {
  return text.split("\n").flatMap((content, index) => {
    if (content.trim() === "") return []
    let row: unknown
    try {
      row = JSON.parse(content)
    } catch {
      // without the parser's own message: it quotes the data, which stays on this machine
      throw malformed(path, index + 1, "expected a JSON object")
    }
    if (!isJsonObject(row)) throw malformed(path, index + 1, "expected a JSON object, got another value")
    return [checked(documentOf(row, fields), path, index + 1)]
  })
}

function parseTable(text: string, path: string, fields: DataFields | undefined): Document[] {
  const records = parseCsv(text)
  if (!Array.isArray(records)) throw malformed(path, records.line, records.message)
  const [header, ...rows] = records
  if (header === undefined) return []
  const repeated = header.fields.find((name, index) => header.fields.indexOf(name) < index)
  if (repeated !== undefined)
    throw malformed(path, header.line, `expected every column name once, got ${showJson(repeated)} twice`)
  return rows.map(({ line, fields: values }) => {
    if (values.length !== header.fields.length)
      throw malformed(path, line, `expected ${header.fields.length} fields as in the header, got ${values.length}`)
    const row = Object.fromEntries(header.fields.map((name, index) => [name, values[index]]))
    return checked(documentOf(row, fields), path, line)
  })
}

function checked(document: Document | string, path: string, line: number): Document {
  if (typeof document === "string") throw malformed(path, line, document)
  return document
}

function malformed(path: string, line: number, message: string): LaminaError {
  return new LaminaError("DATA_MALFORMED", `${path}:${line}: ${message}`)
}
