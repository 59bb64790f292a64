import type { FileHandle } from "node:fs/promises"

import { mapFile } from "@lamina/kernels"
import type { FrozenWeight, MappedFile } from "@lamina/kernels"
import { LaminaError } from "@lamina/protocol/errors"

import { decodeUtf8, fileError, openFile } from "../files/read-bounded.js"
import { readFully } from "../files/read-fully.js"
import { elementBytes, parseHeader, parseHeaderLength, PREFIX_BYTES } from "./safetensors-header.js"
import type { TensorInfo, TensorType } from "./safetensors-header.js"

/** Named tensors on disk; `read` brings one into memory. */
export interface TensorStore<Type extends string = string> {
  readonly tensors: ReadonlyMap<string, TensorInfo<Type>>
  /**
   * The bytes of one tensor on a SharedArrayBuffer, aligned to its elements: the mapped file's where it is mapped
   * (docs/decisions/0009-mapped-weights.md), else one of its own. WEIGHTS_MISSING, WEIGHTS_MALFORMED, FILE_UNREADABLE.
   */
  read(name: string): Promise<Uint8Array<SharedArrayBuffer>>
  /**
   * A matrix of one of ggml's quantized types (`dtype` is one of BLOCK_TYPES), exactly; only GGUF files have any.
   * WEIGHTS_MISSING, WEIGHTS_DTYPE, WEIGHTS_MALFORMED, FILE_UNREADABLE.
   */
  readonly readFrozen?: (name: string) => Promise<FrozenWeight>
  close(): Promise<void>
}

/**
 * Opens one safetensors file and checks its whole header. WEIGHTS_MISSING, WEIGHTS_MALFORMED, WEIGHTS_DTYPE,
 * FILE_UNREADABLE.
 */
export async function openSafetensors(path: string): Promise<TensorStore<TensorType>> {
  const file = await openFile(path, "WEIGHTS_MISSING")
  try {
    const tensors = await readHeader(file, path)
    const whole = mapFile(file.fd, (await file.stat()).size)
    const read = async (name: string): Promise<Uint8Array<SharedArrayBuffer>> => {
      const info = tensors.get(name)
      if (info === undefined) throw new LaminaError("WEIGHTS_MISSING", `${path}: no tensor ${name}`)
      const mapped = mappedBytes(whole, info)
      if (mapped !== undefined) return mapped
      const bytes = new Uint8Array(new SharedArrayBuffer(info.bytes))
      await readFully(file, path, { into: bytes, position: info.start })
      return bytes
    }
    return { tensors, read, close: () => file.close() }
  } catch (cause) {
    await file.close()
    throw fileError(path, cause)
  }
}

/** A tensor as it lies in the mapped file; undefined where nothing is mapped, or its elements are not aligned there. */
function mappedBytes(
  whole: MappedFile | undefined,
  info: TensorInfo<TensorType>,
): Uint8Array<SharedArrayBuffer> | undefined {
  if (whole === undefined || info.start % elementBytes(info.dtype) !== 0) return undefined
  return new Uint8Array(whole.buffer, whole.start + info.start, info.bytes)
}

async function readHeader(file: FileHandle, path: string): Promise<Map<string, TensorInfo<TensorType>>> {
  const { size } = await file.stat()
  const prefix = new Uint8Array(Math.min(size, PREFIX_BYTES))
  await readFully(file, path, { into: prefix, position: 0 })
  const length = parseHeaderLength(prefix, { path, size })
  const header = new Uint8Array(length)
  await readFully(file, path, { into: header, position: PREFIX_BYTES })
  return parseHeader(decodeUtf8(header, `${path}: header`, "WEIGHTS_MALFORMED"), {
    path,
    size,
    dataStart: PREFIX_BYTES + length,
  })
}
