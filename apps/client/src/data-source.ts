import { access, constants } from "node:fs/promises"
import { extname } from "node:path"

import { LaminaError } from "@lamina/protocol"
import type { DataSource } from "@lamina/tuner"

import { systemCode } from "./durable.js"

const KINDS: Readonly<Record<string, "text" | "jsonl" | "csv">> = { ".txt": "text", ".jsonl": "jsonl", ".csv": "csv" }

/**
 * A path becomes a source of the kind its extension says. Throws USAGE for another extension, FILE_UNREADABLE for
 * what cannot be opened.
 */
export async function dataSourceOf(data: DataSource | string): Promise<DataSource> {
  const source = typeof data === "string" ? sourceOfPath(data) : data
  if (source.kind !== "documents") for (const path of source.paths) await expectReadable(path)
  return source
}

function sourceOfPath(path: string): DataSource {
  const kind = KINDS[extname(path).toLowerCase()]
  if (!kind)
    throw new LaminaError(
      "USAGE",
      `data: expected a file that ends in ${Object.keys(KINDS).join(", ")}, got ${JSON.stringify(path)}`,
      {
        hint: "pass a DataSource to say the kind of a file with another name",
      },
    )
  return { kind, paths: [path] }
}

/** Before the coordinator counts on this client, not in the middle of its first round. */
async function expectReadable(path: string): Promise<void> {
  try {
    await access(path, constants.R_OK)
  } catch (error) {
    throw new LaminaError("FILE_UNREADABLE", `data: cannot read ${path} (${systemCode(error) ?? "unknown"})`, {
      cause: error,
    })
  }
}
