import { LaminaError } from "@lamina/protocol/errors"
import type { Partition } from "@lamina/protocol/recipe"
import { readRows } from "@lamina/tuner"
import type { DataSource, SourceRow } from "@lamina/tuner"

import { keyReader } from "./population-key.js"

/** A row of a population's data set as a line of JSON without its line end, and what it is divided by. */
export interface PopulationRow {
  readonly line: string
  readonly key: string
}

/** The key of rows that have none. */
const NO_KEY = "none"
/** The key of all rows where a partition asks for none. */
const ANY_KEY = "rows"

/**
 * All rows of a data set, with all their columns, in memory; texts without a letter are left out. A partition without a
 * key gives all rows the same one. RECIPE_INVALID where no row has the key, and what `readRows` and `keyReader` throw.
 */
export async function readPopulation(source: DataSource, partition: Partition): Promise<PopulationRow[]> {
  const read = "key" in partition ? keyReader(partition.key) : () => ANY_KEY
  const rows: PopulationRow[] = []
  let keyed = 0
  let columns = "no column"
  for await (const row of wholeRows(source)) {
    const key = read(row)
    if (key !== undefined) keyed += 1
    if (rows.length === 0) columns = Object.keys(row).join(", ")
    rows.push({ line: JSON.stringify(row, asJson), key: key ?? NO_KEY })
  }
  if (keyed === 0 && rows.length > 0 && "key" in partition)
    throw new LaminaError(
      "RECIPE_INVALID",
      `simulation.population.partition.key: expected a key in some of ${rows.length} rows, got none by ` +
        `${JSON.stringify(partition.key)}; the first row has ${columns}`,
    )
  return rows
}

/** Rows with the parts of a long text put together again. */
async function* wholeRows(source: DataSource): AsyncGenerator<SourceRow["columns"]> {
  let begun = ""
  for await (const { content, columns } of readRows(source)) {
    if (source.kind !== "text") {
      yield columns
      continue
    }
    const text = content.kind === "text" ? begun + content.text : begun
    begun = content.kind === "text" && content.continues ? text : ""
    if (begun === "" && text.trim() !== "") yield { text }
  }
}

/** What Parquet has and JSON has not: whole numbers beyond 2^53 as text, bytes as base64. */
function asJson(_name: string, value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value
}
