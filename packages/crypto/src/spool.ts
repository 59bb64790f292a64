import { mkdir, open, readFile, rename, rm } from "node:fs/promises"
import { dirname } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { syncFolder } from "./identity.js"
import { leavesOf, rootOf } from "./merkle.js"
import { headerOf } from "./open.js"
import { sealToBytes } from "./seal.js"
import type { SealInput, SealedParts } from "./seal.js"

const SIGNATURE_BYTES = 64

/** An envelope on disk: the file is the envelope followed by its signature (64 bytes, not sent as a chunk). */
export interface SealedEnvelope extends SealedParts {
  readonly path: string
}

/**
 * Seals straight to a spool file that is durable, under its final name, before this resolves: every retry sends these bytes. A full disk is
 * STORAGE_FULL and leaves nothing behind; other failures of the disk are FILE_UNWRITABLE.
 */
export async function sealEnvelope(input: SealInput, spoolPath: string): Promise<SealedEnvelope> {
  const { envelope, ...parts } = sealToBytes(input)
  const part = `${spoolPath}.part`
  try {
    await mkdir(dirname(spoolPath), { recursive: true })
    const file = await open(part, "w", 0o600)
    try {
      await file.writeFile(envelope) // writeFile goes on after a short write, writev does not
      await file.writeFile(parts.signature)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(part, spoolPath)
    await syncFolder(dirname(spoolPath))
  } catch (cause) {
    await rm(part, { force: true })
    throw storageFailure(cause, spoolPath)
  }
  return { ...parts, path: spoolPath }
}

/** A spooled envelope again, after a restart; undefined where there is none. BLOB_CORRUPT for a file that is no envelope. */
export async function readSealed(spoolPath: string): Promise<SealedEnvelope | undefined> {
  const file = await readFile(spoolPath).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined
    throw error
  })
  if (!file) return undefined
  const envelope = file.subarray(0, Math.max(0, file.byteLength - SIGNATURE_BYTES))
  try {
    const leaves = leavesOf(envelope)
    const signature = Uint8Array.from(file.subarray(envelope.byteLength))
    const header = Uint8Array.from(headerOf(envelope))
    return { header, leaves, root: rootOf(leaves), signature, bytes: envelope.byteLength, path: spoolPath }
  } catch (cause) {
    throw new LaminaError("BLOB_CORRUPT", `${spoolPath} is not a spooled envelope`, { cause })
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
