import { extname } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { headerFault, parseCsv } from "../data/csv.js"
import { isJsonObject } from "../files/json.js"
import type { JsonObject } from "../files/json.js"
import { readBounded } from "../files/read-bounded.js"

/** Far more than a test set has: it is held in memory as a whole. */
const BYTES_MAX = 2 ** 28

/** A row of a test set and where it stands, for messages. */
export interface DataRecord {
  readonly row: JsonObject
  readonly where: string
}

/**
 * The rows of a test set: `.jsonl` or `.ndjson` with one object per line, `.json` with an array of objects, `.csv`
 * whose first record names the columns. DATA_MALFORMED with file and line, DATA_EMPTY, FILE_UNREADABLE, USAGE.
 */
export async function readRecords(path: string): Promise<DataRecord[]> {
  const read = READERS[extname(path).toLowerCase()]
  if (read === undefined) throw new LaminaError("USAGE", `${path}: expected a .jsonl, .ndjson, .json or .csv file`)
  const bounds = { bytesMax: BYTES_MAX, missing: "FILE_UNREADABLE", malformed: "DATA_MALFORMED" } as const
  const records = read(await readBounded(path, bounds), path)
  if (records.length === 0) throw new LaminaError("DATA_EMPTY", `${path}: expected at least one row, got none`)
  return records
}

/** A row that is not as it must be. DATA_MALFORMED. */
export function malformedRecord(where: string, message: string): LaminaError {
  return new LaminaError("DATA_MALFORMED", `${where}: ${message}`)
}

const READERS: Readonly<Record<string, (text: string, path: string) => DataRecord[]>> = {
  ".jsonl": readLines,
  ".ndjson": readLines,
  ".json": readArray,
  ".csv": readTable,
}

function readLines(text: string, path: string): DataRecord[] {
  return text.split("\n").flatMap((line, index) => {
    if (line.trim() === "") return []
    const where = `${path}:${index + 1}`
    return [checkedRecord(parse(line, where), where)]
  })
}

function readArray(text: string, path: string): DataRecord[] {
  const rows = parse(text, path)
  if (!Array.isArray(rows)) throw malformedRecord(path, "expected an array of objects")
  return rows.map((row: unknown, index) => checkedRecord(row, `${path}: [${index}]`))
}

function readTable(text: string, path: string): DataRecord[] {
  const records = parseCsv(text)
  if (!Array.isArray(records)) throw malformedRecord(`${path}:${records.line}`, records.message)
  const [header, ...rows] = records
  if (header === undefined) return []
  const fault = headerFault(header.fields)
  if (fault !== undefined) throw malformedRecord(`${path}:${header.line}`, fault)
  return rows.map(({ line, fields }) => {
    const where = `${path}:${line}`
    if (fields.length !== header.fields.length)
      throw malformedRecord(where, `expected ${header.fields.length} fields as in the header, got ${fields.length}`)
    return { row: Object.fromEntries(header.fields.map((name, index) => [name, fields[index]])), where }
  })
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw malformedRecord(where, "expected JSON") // without the parser's own message: it quotes the data
  }
}

function checkedRecord(row: unknown, where: string): DataRecord {
  if (isJsonObject(row)) return { row, where }
  throw malformedRecord(where, `expected an object, got ${Array.isArray(row) ? "a list" : typeof row}`)
}
