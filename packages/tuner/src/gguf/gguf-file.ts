import type { FileHandle } from "node:fs/promises"

import { allocateFrozen, valuesOf } from "@lamina/kernels"
import type { FrozenWeight } from "@lamina/kernels"
import { LaminaError } from "@lamina/protocol/errors"

import { readFully } from "../files/read-fully.js"
import { fileError, openFile } from "../files/read-bounded.js"
import { firstNotFinite } from "../weights/float-tensor.js"
import { blockReader } from "./block-rows.js"
import { ShortHeader } from "./gguf-cursor.js"
import { parseGgufHeader } from "./gguf-header.js"
import type { GgufHeader, GgufTensor } from "./gguf-header.js"
import type { RowOrder } from "./row-order.js"

/** First read of a header; a vocabulary of 50,000 tokens takes 2 MB. */
const HEADER_READ_BYTES = 4 * 2 ** 20
/** Ten times the largest header we know of. */
const HEADER_BYTES_MAX = 256 * 2 ** 20
/** Blocks are unpacked from pieces of about so many bytes, whole rows each. */
const PIECE_BYTES = 4 * 2 ** 20

/** An open GGUF file. */
export interface GgufFile extends GgufHeader {
  readonly path: string
  /**
   * An F32, F16 or BF16 tensor as it is stored, rows in `order`, on a SharedArrayBuffer of its own. WEIGHTS_MALFORMED,
   * FILE_UNREADABLE.
   */
  readPlain(name: string, order?: RowOrder): Promise<Uint8Array<SharedArrayBuffer>>
  /** A quantized matrix, exactly, rows in `order`. WEIGHTS_DTYPE, WEIGHTS_MALFORMED, FILE_UNREADABLE. */
  readBlocks(name: string, order?: RowOrder): Promise<FrozenWeight>
  close(): Promise<void>
}

/**
 * Opens a GGUF file and checks its whole header (`parseGgufHeader`); data is read tensor by tensor, on demand.
 * WEIGHTS_MISSING, WEIGHTS_MALFORMED, WEIGHTS_DTYPE, MODEL_UNSUPPORTED, FILE_UNREADABLE.
 */
export async function openGguf(path: string): Promise<GgufFile> {
  const file = await openFile(path, "WEIGHTS_MISSING")
  try {
    const header = await readHeader(file, path)
    return {
      ...header,
      path,
      readPlain: (name, order) => readPlain({ file, path }, tensorOf(path, header, name), order),
      readBlocks: (name, order) => readBlocks({ file, path, name }, tensorOf(path, header, name), order),
      close: () => file.close(),
    }
  } catch (cause) {
    await file.close()
    throw fileError(path, cause)
  }
}

async function readHeader(file: FileHandle, path: string): Promise<GgufHeader> {
  const { size } = await file.stat()
  for (let length = HEADER_READ_BYTES; ; length *= 4) {
    const bytes = new Uint8Array(Math.min(size, length, HEADER_BYTES_MAX))
    await readFully(file, path, { into: bytes, position: 0 })
    try {
      return parseGgufHeader({ bytes, path, size })
    } catch (error) {
      if (!(error instanceof ShortHeader)) throw error
      if (length < HEADER_BYTES_MAX) continue
      throw new LaminaError(
        "WEIGHTS_MALFORMED",
        `${path}: header: expected at most ${HEADER_BYTES_MAX} bytes, got more`,
      )
    }
  }
}

function tensorOf(path: string, header: GgufHeader, name: string): GgufTensor {
  const tensor = header.tensors.get(name)
  if (tensor === undefined) throw new LaminaError("WEIGHTS_MISSING", `${path}: no tensor ${name}`)
  return tensor
}

async function readPlain(
  { file, path }: { file: FileHandle; path: string },
  tensor: GgufTensor,
  order: RowOrder | undefined,
): Promise<Uint8Array<SharedArrayBuffer>> {
  const bytes = new Uint8Array(new SharedArrayBuffer(tensor.bytes))
  if (order === undefined) {
    await readFully(file, path, { into: bytes, position: tensor.start })
    return bytes
  }
  const rowBytes = tensor.bytes / (tensor.shape[0] ?? 1)
  await eachRow({ file, path }, tensor, (piece, start, row) => {
    bytes.set(piece.subarray(start, start + rowBytes), order(row) * rowBytes)
  })
  return bytes
}

async function readBlocks(
  { file, path, name }: { file: FileHandle; path: string; name: string },
  tensor: GgufTensor,
  order: RowOrder = (row) => row,
): Promise<FrozenWeight> {
  const reader = blockReader(tensor.type.name)
  const [rows, cols] = tensor.shape
  if (reader === undefined || rows === undefined || cols === undefined || tensor.shape.length !== 2)
    throw new LaminaError(
      "WEIGHTS_DTYPE",
      `${path}: ${name}: expected a quantized matrix, got ${tensor.type.name} [${tensor.shape.join(", ")}]`,
    )
  const weight = allocateFrozen(reader.format, rows, cols)
  await eachRow({ file, path }, tensor, (bytes, start, row) => {
    reader.unpack({ bytes, start, row: order(row) }, weight)
  })
  for (const array of ["scales", "mins", "superScales", "superMins"] as const) {
    const values = valuesOf(weight, array)
    if (!(values instanceof Uint16Array)) continue // the others are whole numbers
    const bad = firstNotFinite({ dtype: "F16", values: values as Uint16Array<SharedArrayBuffer> })
    if (bad >= 0)
      throw new LaminaError(
        "WEIGHTS_MALFORMED",
        `${path}: ${name}: expected finite ${array}, got NaN or Infinity at ${array} ${bad}`,
      )
  }
  return weight
}

/** Reads a tensor in pieces of whole rows. */
async function eachRow(
  { file, path }: { file: FileHandle; path: string },
  tensor: GgufTensor,
  take: (piece: Uint8Array, start: number, row: number) => void,
): Promise<void> {
  const rows = tensor.shape[0] ?? 1
  const rowBytes = tensor.bytes / rows
  const rowsAtOnce = Math.min(rows, Math.max(1, Math.floor(PIECE_BYTES / rowBytes)))
  const buffer = new Uint8Array(rowsAtOnce * rowBytes)
  for (let first = 0; first < rows; first += rowsAtOnce) {
    const count = Math.min(rowsAtOnce, rows - first)
    const piece = buffer.subarray(0, count * rowBytes)
    await readFully(file, path, { into: piece, position: tensor.start + first * rowBytes })
    for (let row = 0; row < count; row++) take(piece, row * rowBytes, first + row)
  }
}
