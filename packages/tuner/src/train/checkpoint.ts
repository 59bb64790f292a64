import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"

import { writeAtomically } from "../files/write-atomically.js"
import type { Trained } from "./optimizer.js"

/**
 * State of a training job on disk: one line of JSON, then param, m and v of every trained array, and its sensitivity
 * and variation where the job reports scores, as little-endian f32.
 * The line carries the job's fingerprint and the SHA-256 of the rest, so that a file of another job or a damaged one
 * is refused and never half loaded.
 */
const FORMAT = "lamina-checkpoint-1"
const HEADER_BYTES_MAX = 4_096

/** What is saved beside the arrays. */
export interface CheckpointState {
  /** Steps done. */
  readonly step: number
  readonly firstLoss: number
  readonly lastLoss: number
}

interface Header extends CheckpointState {
  readonly format: string
  readonly fingerprint: string
  readonly sha256: string
  readonly bytes: number
}

/**
 * Writes beside `path` and renames, file and folder synced: after a power cut there is the old checkpoint or the new
 * one. FILE_UNWRITABLE.
 */
export async function saveCheckpoint(
  path: string,
  fingerprint: string,
  state: CheckpointState,
  trained: readonly Trained[],
): Promise<void> {
  const payload = arraysOf(trained).map(bytesOf)
  const hash = createHash("sha256")
  for (const part of payload) hash.update(part)
  const bytes = payload.reduce((sum, part) => sum + part.length, 0)
  const header: Header = { format: FORMAT, fingerprint, ...state, sha256: hash.digest("hex"), bytes }
  await writeAtomically(path, [Buffer.from(`${JSON.stringify(header)}\n`), ...payload])
}

/**
 * Fills the arrays of `trained` from the file and returns the rest; undefined when there is no file.
 * CHECKPOINT_MISMATCH, before any array is touched, when the file is not a whole checkpoint of the job with this
 * fingerprint; FILE_UNREADABLE.
 */
export async function loadCheckpoint(
  path: string,
  fingerprint: string,
  trained: readonly Trained[],
): Promise<CheckpointState | undefined> {
  const file = await readIfThere(path)
  if (file === undefined) return undefined
  const end = file.subarray(0, HEADER_BYTES_MAX).indexOf("\n")
  const header = parseHeader(path, file.subarray(0, Math.max(0, end)).toString())
  const payload = file.subarray(end + 1)
  if (header.fingerprint !== fingerprint)
    throw mismatch(path, `expected job ${fingerprint.slice(0, 12)}, got ${String(header.fingerprint).slice(0, 12)}`)
  const arrays = arraysOf(trained)
  const bytes = arrays.reduce((sum, array) => sum + array.byteLength, 0)
  if (payload.length !== bytes) throw mismatch(path, `expected ${bytes} bytes of state, got ${payload.length}`)
  if (createHash("sha256").update(payload).digest("hex") !== header.sha256)
    throw mismatch(path, "damaged: the SHA-256 does not match")
  let offset = 0
  for (const array of arrays) {
    bytesOf(array).set(payload.subarray(offset, offset + array.byteLength))
    offset += array.byteLength
  }
  return { step: header.step, firstLoss: header.firstLoss, lastLoss: header.lastLoss }
}

function arraysOf(trained: readonly Trained[]): Float32Array[] {
  return trained.flatMap(({ param, m, v, sensitivity }) => [
    ...[param, m, v],
    ...(sensitivity ? [sensitivity.smoothed, sensitivity.variation] : []),
  ])
}

function parseHeader(path: string, line: string): Header {
  try {
    const header = JSON.parse(line) as Header
    if (header.format === FORMAT && Number.isInteger(header.step)) return header
  } catch (cause) {
    throw new LaminaError("CHECKPOINT_MISMATCH", `checkpoint ${path}: not a checkpoint`, { cause })
  }
  throw mismatch(path, `expected format ${FORMAT}`)
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw new LaminaError("FILE_UNREADABLE", `checkpoint ${path}: ${(cause as Error).message}`, { cause })
  }
}

/**
 * The array's own memory as bytes. Every platform Node runs on is little-endian but s390x, whose files stay its own.
 */
function bytesOf(array: Float32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

function mismatch(path: string, message: string): LaminaError {
  return new LaminaError("CHECKPOINT_MISMATCH", `checkpoint ${path}: ${message}`, {
    hint: "delete the file, or continue the job it belongs to",
  })
}
