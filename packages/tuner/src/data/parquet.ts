import { stat } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet"
import type { AsyncBuffer, FileMetaData } from "hyparquet"
import { compressors } from "hyparquet-compressors"

import { fileError } from "../files/read-bounded.js"

/** A footer lists columns and row groups: real ones are under a few megabytes. */
const FOOTER_BYTES_MAX = 2 ** 26
/** A row group is held in memory whole; writers make them of 128 MiB or less. */
const GROUP_BYTES_MAX = 2 ** 30
/** Magic, footer length and magic of the smallest file. */
const FILE_BYTES_MIN = 12

/**
 * Rows of a Parquet file in order, one row group in memory at a time, numbered from 1; compressed by any codec but
 * LZO. DATA_MALFORMED naming the row group, FILE_UNREADABLE.
 */
export async function* readParquet(
  path: string,
): AsyncGenerator<{ row: number; values: Readonly<Record<string, unknown>> }> {
  const file = await openFile(path)
  const metadata = await readFooter(path, file)
  let row = 0
  for (const [index, group] of metadata.row_groups.entries()) {
    const rows = Number(group.num_rows)
    const where = `${path}: row group ${index + 1}`
    const bytes = Number(group.total_byte_size)
    if (!Number.isSafeInteger(rows) || rows < 0 || !(bytes <= GROUP_BYTES_MAX))
      throw malformed(where, `expected at most ${GROUP_BYTES_MAX} bytes, got ${rows} rows of ${bytes} bytes`)
    const range = { rowStart: row, rowEnd: row + rows }
    const objects = await parquetReadObjects({ file, metadata, compressors, ...range }).catch((cause: unknown) => {
      // without the parser's own message: it may quote the data
      throw malformed(where, "expected Parquet pages, found damaged or unsupported ones", cause)
    })
    if (objects.length !== rows) throw malformed(where, `expected ${rows} rows, got ${objects.length}`)
    for (const values of objects) yield { row: (row += 1), values }
  }
}

async function openFile(path: string): Promise<AsyncBuffer> {
  try {
    if (!(await stat(path)).isFile()) throw new Error("expected a file")
    return await asyncBufferFromFile(path)
  } catch (cause) {
    throw fileError(path, cause)
  }
}

async function readFooter(path: string, file: AsyncBuffer): Promise<FileMetaData> {
  if (file.byteLength < FILE_BYTES_MIN)
    throw malformed(path, `expected a Parquet file of at least ${FILE_BYTES_MIN} bytes, got ${file.byteLength}`)
  const tail = new DataView(await file.slice(file.byteLength - 8, file.byteLength))
  const length = tail.getUint32(0, true)
  if (tail.getUint32(4, false) !== 0x50415231) throw malformed(path, "expected the magic PAR1 at the end, got another")
  if (length > FOOTER_BYTES_MAX || length > file.byteLength - FILE_BYTES_MIN)
    throw malformed(path, `expected a footer that fits into the file and ${FOOTER_BYTES_MAX} bytes, got ${length}`)
  return parquetMetadataAsync(file).catch((cause: unknown) => {
    throw malformed(path, "expected a Parquet footer, found a damaged one", cause)
  })
}

function malformed(where: string, message: string, cause?: unknown): LaminaError {
  const code = cause === undefined ? {} : { cause: (cause as Error).name }
  return new LaminaError("DATA_MALFORMED", `${where}: ${message}`, code)
}
