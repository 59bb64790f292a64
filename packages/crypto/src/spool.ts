import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  renameSync,
  statSync,
  writev,
} from "node:fs"
import { readFile, rm } from "node:fs/promises"
import { dirname } from "node:path"
import { promisify } from "node:util"

import { LaminaError } from "@lamina/protocol/errors"

import { syncFolder } from "./durable-file.js"
import { layoutOf, parseHeader } from "./envelope-layout.js"
import { leavesOf, rootOf } from "./merkle.js"
import { headerOf } from "./open.js"
import { sealLater } from "./seal.js"
import type { SealInput, SealedParts } from "./seal.js"

const SIGNATURE_BYTES = 64
const written = promisify(writev)
const synced = promisify(fdatasync)

/** An envelope on disk: the file is the envelope followed by its signature (64 bytes, not sent as a chunk). */
export interface SealedEnvelope extends SealedParts {
  readonly path: string
}

/**
 * Seals straight to a spool file that is durable, under its final name, before this resolves: every retry sends these
 * bytes. A full disk is STORAGE_FULL and leaves nothing behind; other failures of the disk are FILE_UNWRITABLE.
 */
export async function sealEnvelope(input: SealInput, spoolPath: string): Promise<SealedEnvelope> {
  const { envelope, ...parts } = await sealLater(input)
  await spoolEnvelope({ envelope, signature: parts.signature }, spoolPath)
  return { ...parts, path: spoolPath }
}

/**
 * The second half of that: an envelope that is sealed already becomes durable. It is written under `unfinished`, a path
 * on the same disk, and renamed when it is whole: a file that lies there is written over, which costs a disk less than
 * a new one.
 */
export async function spoolEnvelope(
  sealed: { readonly envelope: Uint8Array; readonly signature: Uint8Array },
  spoolPath: string,
  unfinished = `${spoolPath}.part`,
): Promise<void> {
  try {
    mkdirSync(dirname(spoolPath), { recursive: true })
    await writeSynced(unfinished, [sealed.envelope, sealed.signature])
    renameSync(unfinished, spoolPath)
    await syncFolder(dirname(spoolPath))
  } catch (cause) {
    await rm(unfinished, { force: true }).catch(() => undefined) // the first failure is the one to tell
    throw storageFailure(cause, spoolPath)
  }
}

/** Names cost microseconds and are made at once; bytes and the sync go to a thread. */
async function writeSynced(path: string, pieces: readonly Uint8Array[]): Promise<void> {
  const file = openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o600)
  try {
    const bytes = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0)
    if (fstatSync(file).size > bytes) ftruncateSync(file, bytes)
    for (let at = 0; at < bytes;) at += (await written(file, rest(pieces, at), at)).bytesWritten // may be short
    await synced(file)
  } finally {
    closeSync(file)
  }
}

/** What of the pieces lies behind their first `done` bytes. */
function rest(pieces: readonly Uint8Array[], done: number): Uint8Array[] {
  let before = 0
  return pieces.flatMap((piece) => {
    const from = Math.max(0, done - before)
    before += piece.byteLength
    return from < piece.byteLength ? [piece.subarray(from)] : []
  })
}

/**
 * A spooled envelope again, after a restart; undefined where there is none. BLOB_CORRUPT for a file that is no whole
 * envelope.
 */
export async function readSealed(spoolPath: string): Promise<SealedEnvelope | undefined> {
  if (!mayBeThere(spoolPath)) return undefined
  const file = await readFile(spoolPath).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined
    throw new LaminaError("FILE_UNREADABLE", `cannot read the spool ${spoolPath}: ${cause.code ?? "unknown"}`, {
      cause,
    })
  })
  return file && parseSealed(file, spoolPath)
}

/** Asked before every round, and there is none as a rule: a thread of the pool would cost ten times this look. */
function mayBeThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined
  } catch {
    return true // reading it says what is wrong
  }
}

/** Envelope ‖ signature as they lie on a disk at `path`. BLOB_CORRUPT for anything else. */
export function parseSealed(file: Uint8Array, spoolPath: string): SealedEnvelope {
  const envelope = file.subarray(0, Math.max(0, file.byteLength - SIGNATURE_BYTES))
  const header = wholeHeader(envelope)
  if (!header)
    throw new LaminaError(
      "BLOB_CORRUPT",
      `${spoolPath}: expected a whole envelope and its signature, got ${file.byteLength} other bytes`,
    )
  const leaves = leavesOf(envelope)
  const signature = Uint8Array.from(file.subarray(envelope.byteLength))
  return { header, leaves, root: rootOf(leaves), signature, bytes: envelope.byteLength, path: spoolPath }
}

/** A copy of the header, when the envelope is as long as its header says. */
function wholeHeader(envelope: Uint8Array): Uint8Array | undefined {
  try {
    const header = Uint8Array.from(headerOf(envelope))
    const parsed = parseHeader(header)
    return parsed && layoutOf(header.byteLength, parsed.plaintextBytes).envelopeBytes === envelope.byteLength
      ? header
      : undefined
  } catch {
    return undefined // headerOf: no magic, or a length past the end
  }
}

function storageFailure(cause: unknown, path: string): LaminaError {
  const code = (cause as NodeJS.ErrnoException).code
  if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG")
    return new LaminaError("STORAGE_FULL", `no space to spool ${path}`, {
      cause,
      hint: "free some space; the update is made again from the checkpoint",
    })
  return new LaminaError("FILE_UNWRITABLE", `cannot spool ${path}: ${code ?? "unknown"}`, { cause })
}
