import { accessSync, constants, statSync } from "node:fs"
import { extname, resolve } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import type { DataFields, DataSource } from "../api.js"

/** What may be said about files beside their names. */
export interface DataSourceOptions {
  readonly fields?: DataFields
  readonly chatTemplate?: boolean
  readonly separator?: string
}

type FileKind = Exclude<DataSource["kind"], "documents">

const KINDS: Readonly<Record<string, FileKind>> = {
  ".txt": "text",
  ".text": "text",
  ".md": "text",
  ".jsonl": "jsonl",
  ".ndjson": "jsonl",
  ".csv": "csv",
  ".parquet": "parquet",
}

/**
 * Files as a data source of the kind their extension says, all alike; a source stays as it is. Looks whether the files
 * are there and readable: before anybody counts on this data, not in the middle of the work. USAGE for another
 * extension, several kinds, or options that do not fit the kind; FILE_UNREADABLE.
 */
export function dataSourceOf(
  data: string | readonly string[] | DataSource,
  options: DataSourceOptions = {},
): DataSource {
  const source = typeof data === "string" ? sourceOfPaths([data], options) : fromList(data, options)
  if (source.kind !== "documents") for (const path of source.paths) expectReadable(path)
  return source
}

function fromList(data: readonly string[] | DataSource, options: DataSourceOptions): DataSource {
  return "kind" in data ? data : sourceOfPaths(data, options)
}

function sourceOfPaths(given: readonly string[], options: DataSourceOptions): DataSource {
  const paths = given.map((path) => resolve(path))
  const kinds = [...new Set(paths.map(kindOf))]
  const [kind] = kinds
  if (kind === undefined || kinds.length > 1)
    throw new LaminaError("USAGE", `data: expected files of one kind, got ${kinds.join(" and ") || "none"}`)
  const { fields, chatTemplate, separator } = options
  if (kind === "text") {
    if (fields !== undefined || chatTemplate !== undefined)
      throw new LaminaError("USAGE", "data: expected no fields and no chatTemplate with a text file, got some", {
        hint: "a text file is trained on as it stands; put prompts and answers into .jsonl, .csv or .parquet",
      })
    return { kind, paths, ...(separator === undefined ? {} : { separator }) }
  }
  if (separator !== undefined)
    throw new LaminaError("USAGE", `data: expected a separator with text files only, got one with ${kind}`)
  return { kind, paths, ...(fields ? { fields } : {}), ...(chatTemplate === undefined ? {} : { chatTemplate }) }
}

function kindOf(path: string): FileKind {
  const kind = KINDS[extname(path).toLowerCase()]
  if (kind) return kind
  const known = Object.keys(KINDS).join(", ")
  throw new LaminaError("USAGE", `data: expected a file that ends in ${known}, got ${JSON.stringify(path)}`)
}

function expectReadable(path: string): void {
  try {
    accessSync(path, constants.R_OK)
    if (statSync(path).isFile()) return
  } catch (cause) {
    const { code = "unknown" } = cause as NodeJS.ErrnoException
    throw new LaminaError("FILE_UNREADABLE", `data: cannot read ${path} (${code})`, { cause })
  }
  throw new LaminaError("FILE_UNREADABLE", `data: expected a file, got something else at ${path}`)
}
