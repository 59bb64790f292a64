import { statSync } from "node:fs"
import { extname, resolve } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"
import type { DataSource } from "@lamina/tuner"

/** Files named on the command line -> a data source, its kind by the extension (all alike). USAGE, FILE_UNREADABLE. */
export function dataSource(paths: readonly string[]): DataSource {
  const absolute = paths.map((path) => resolve(path))
  for (const path of absolute)
    if (!statSync(path, { throwIfNoEntry: false })?.isFile())
      throw new LaminaError("FILE_UNREADABLE", `expected a data file, found none at ${path}`)
  const kinds = new Set(absolute.map(kindOf))
  const [kind] = kinds
  if (kind === undefined || kinds.size > 1)
    throw new LaminaError("USAGE", `expected data files of one kind, got ${[...kinds].join(" and ") || "none"}`)
  return { kind, paths: absolute }
}

function kindOf(path: string): "text" | "jsonl" | "csv" {
  switch (extname(path).toLowerCase()) {
    case ".jsonl":
    case ".ndjson":
      return "jsonl"
    case ".csv":
      return "csv"
    default:
      return "text"
  }
}
