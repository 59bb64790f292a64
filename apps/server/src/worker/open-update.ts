import { closeSync, fstatSync, openSync, read as readFrom } from "node:fs"
import { promisify } from "node:util"

import Database from "better-sqlite3"

import {
  Buffers,
  equalBytes,
  forgetRecipientKey,
  headerOf,
  leavesOf,
  openLater,
  rootOf,
  toHex,
  unwrapEnvelope,
} from "@lamina/crypto"
import type { EnvelopeKey, OpenedEnvelope } from "@lamina/crypto"
import { decodeUpdate, messages } from "@lamina/protocol"
import type { UpdateContent } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import type { RoundSecret, SealedUpdate } from "./jobs.js"

/** Updates this thread has opened and that are still to be aggregated, while they are small together. */
const KEPT_BYTES_MAX = 64 * 1024 * 1024
const kept = new Map<string, Opened>()
let keptBytes = 0

/** Updates that are open together at most, or one. */
export const OPEN_BYTES_MAX = 2 ** 28

/** Of envelopes, which are read, opened and forgotten, and of what was in them. */
const buffers = new Buffers(OPEN_BYTES_MAX)

/** An update whose tensors are views of `memory`; `forget` it when nobody reads them any more. */
export interface Opened {
  readonly content: UpdateContent
  readonly memory: Uint8Array
  readonly mayExceed: OpenedEnvelope["mayExceed"]
  readonly key: EnvelopeKey
}

/**
 * Reads, verifies, opens and decodes one sealed update. Throws BLOB_CORRUPT where the disk no longer holds what was
 * made durable, ENVELOPE_REJECTED, or what decodeUpdate throws. Its values are not judged here.
 */
export async function openUpdate(update: SealedUpdate, secret: RoundSecret): Promise<Opened> {
  const envelope = await read(update)
  if (envelope?.byteLength !== update.envelopeBytes) throw corrupt(update)
  try {
    return await open(envelope, update, secret)
  } catch (error) {
    // every byte is under the header's signature or authenticated with its key; only what failed that is hashed, to
    // tell a disk that lost bytes from a client that sealed wrong ones
    if (!equalBytes(rootOf(leavesOf(envelope)), update.envelopeRoot)) throw corrupt(update)
    throw error
  } finally {
    if ("path" in update.source) buffers.give(envelope)
  }
}

/** Keeps what was opened for the aggregation of its round; the oldest makes room. */
export function keep({ envelopeRoot }: SealedUpdate, opened: Opened): void {
  const name = toHex(envelopeRoot)
  const before = take(name)
  if (before) forget(before)
  const bytes = bytesOf(opened)
  if (bytes > KEPT_BYTES_MAX) return keepKey(name, opened)
  for (const oldest of kept.keys()) {
    if (keptBytes + bytes <= KEPT_BYTES_MAX) break
    const evicted = take(oldest)
    if (evicted) keepKey(oldest, evicted)
  }
  kept.set(name, opened)
  keptBytes += bytes
}

/** What was kept of an update, for the last time, or the update opened again. */
export async function takeUpdate(update: SealedUpdate, secret: RoundSecret): Promise<Opened> {
  return take(toHex(update.envelopeRoot)) ?? openUpdate(update, secret)
}

/** Nobody reads its tensors any more. */
export function forget({ memory }: Pick<Opened, "memory">): void {
  buffers.give(memory)
}

/** Lets the memory go that waits for the next updates. */
export function clearBuffers(): void {
  buffers.clear()
}

/** Of updates that are opened again: what unwraps a key takes half as long as reading and opening four megabytes. */
const keys = new Map<string, EnvelopeKey>()
const KEYS_MAX = 10_000

function keepKey(name: string, opened: Opened): void {
  forget(opened)
  keys.set(name, opened.key)
  const [oldest] = keys.keys()
  if (keys.size > KEYS_MAX && oldest !== undefined) keys.delete(oldest)
}

function takeKey({ envelopeRoot }: SealedUpdate): EnvelopeKey | undefined {
  const name = toHex(envelopeRoot)
  const key = keys.get(name)
  keys.delete(name)
  return key
}

/** A round is over, and its keys about to be erased. */
export function forgetKeys(): void {
  forgetRecipientKey()
  keys.clear()
}

/** Its buffer may be larger than what is in it. */
function bytesOf({ memory }: Opened): number {
  return memory.buffer.byteLength
}

function take(name: string): Opened | undefined {
  const known = kept.get(name)
  if (known && kept.delete(name)) keptBytes -= bytesOf(known)
  return known
}

async function open(envelope: Uint8Array, update: SealedUpdate, secret: RoundSecret): Promise<Opened> {
  if (!equalBytes(headerOf(envelope), update.header))
    throw new LaminaError("ENVELOPE_REJECTED", "expected the header that was signed, got another inside the envelope")
  const key = takeKey(update) ?? unwrap(envelope, update, secret)
  const { plaintext: memory, mayExceed } = await openLater(envelope, key, buffers.take)
  return { content: decodeUpdate(memory), memory, mayExceed, key }
}

function unwrap(envelope: Uint8Array, update: SealedUpdate, secret: RoundSecret): EnvelopeKey {
  const { clientId } = messages.EnvelopeHeader.decode(update.header)
  const expected = { federationId: secret.federationId, roundHeaderHash: secret.headerHash, clientId }
  return unwrapEnvelope(envelope, { recipientSecretKey: secret.recipientSecret, expected })
}

const readers = new Map<string, Database.Statement>()

function read({ source, envelopeBytes }: SealedUpdate): Promise<Uint8Array | undefined> | Uint8Array | undefined {
  if ("path" in source) return readFile(source.path, envelopeBytes)
  let reader = readers.get(source.database)
  if (!reader) {
    const database = new Database(source.database, { readonly: true })
    readers.set(source.database, (reader = database.prepare("select bytes from envelopes where upload_id = ?")))
  }
  return (reader.get(source.uploadId) as { bytes: Uint8Array } | undefined)?.bytes
}

const readPart = promisify(readFrom)

/** Undefined where the file has another length; the system's error where it is not there. */
async function readFile(path: string, bytes: number): Promise<Uint8Array | undefined> {
  const file = openSync(path, "r")
  try {
    if (fstatSync(file).size !== bytes) return undefined
    const memory = buffers.take(bytes)
    let read = 0
    while (read < bytes) {
      const { bytesRead } = await readPart(file, memory, read, bytes - read, read)
      if (bytesRead === 0) return undefined
      read += bytesRead
    }
    return memory
  } finally {
    closeSync(file)
  }
}

function corrupt({ clientId }: SealedUpdate): LaminaError {
  return new LaminaError(
    "BLOB_CORRUPT",
    `the envelope of client ${clientId}: expected the bytes that were uploaded, got others`,
  )
}
