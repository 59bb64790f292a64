import type { FileHandle } from "node:fs/promises"
import { open, rm, stat } from "node:fs/promises"
import { join } from "node:path"

import type { Dispatcher } from "undici"

import { equalBytes, hashFile, toHex } from "@lamina/crypto"
import { LaminaError } from "@lamina/protocol"

import { exists, publish, systemCode, writeFailure } from "../durable.js"
import { waitForLock } from "../lock.js"
import type { Http } from "./http.js"
import { bodyChunks, contentLength, tooLarge } from "./http.js"

interface Download {
  /** Where it is served, e.g. `/v1/blobs/<hash>`. */
  readonly source: string
  /** Where it is to lie. The folder exists. */
  readonly path: string
  /** Folder on the same disk for what is incomplete, by content hash. */
  readonly partial: string
  readonly hash: Uint8Array
  /** Exact size where it is known beforehand. */
  readonly bytes?: number
  readonly bytesMax: number
  readonly onBytes?: (bytes: number, bytesTotal: number) => void
}

/** Whole transfers that may turn out wrong before the source counts as bad. */
const ATTEMPTS = 3

/**
 * A file by content hash: resumed from what came before by a range, verified as a whole, renamed into place when
 * durable. Clients of all processes may ask at once: one loads, the others find it. Throws BLOB_CORRUPT when three
 * transfers in a row have another hash, FRAME_TOO_LARGE before a byte above `bytesMax` is written, STORAGE_FULL (what
 * came so far is kept for the next try).
 */
export async function download(http: Http, wanted: Download, signal: AbortSignal): Promise<void> {
  const part = join(wanted.partial, toHex(wanted.hash))
  const lock = await waitForLock(`${part}.lock`, signal)
  try {
    if (await exists(wanted.path)) return
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      await transfer(http, wanted, part)
      if ((await exists(part)) && equalBytes(await hashFile(part, { signal }), wanted.hash))
        return await publish(part, wanted.path)
      await rm(part, { force: true })
    }
    throw corrupt(wanted, `expected content with hash ${toHex(wanted.hash)}, got another ${ATTEMPTS} times`)
  } finally {
    await lock.release()
  }
}

/** Goes on from what is there, also after every lost connection, until an answer ended whole. */
async function transfer(http: Http, wanted: Download, part: string): Promise<void> {
  const have = await sizeOf(part)
  if (have > 0 && have === wanted.bytes) return
  if (have > (wanted.bytes ?? wanted.bytesMax)) await rm(part)
  await http.request({ method: "GET", path: wanted.source, from: () => sizeOf(part) }, (answer) =>
    receive(answer, wanted, part),
  )
}

/** Writes one answer behind what is there (206), or anew (200). */
async function receive(answer: Dispatcher.ResponseData, wanted: Download, part: string): Promise<void> {
  if (answer.statusCode === 416) {
    // nothing behind what we have: where the size is unknown the hash decides whether that is all
    await answer.body.dump()
    if (wanted.bytes !== undefined) await rm(part, { force: true })
    return
  }
  const start = answer.statusCode === 206 ? rangeStart(answer) : 0
  const have = await sizeOf(part)
  if (start > have) throw corrupt(wanted, `expected a range from ${have}, got one from ${start}`)
  const length = contentLength(answer)
  const limit = wanted.bytes ?? wanted.bytesMax
  if (length !== undefined && start + length > limit) throw tooLarge(wanted.source, limit, start + length)
  const end = await append(answer, wanted, { part, start, total: wanted.bytes ?? start + (length ?? 0), limit })
  if (wanted.bytes !== undefined && end !== wanted.bytes)
    throw corrupt(wanted, `expected ${wanted.bytes} bytes, got an answer that ends after ${end}`)
}

function corrupt(wanted: Download, detail: string): LaminaError {
  return new LaminaError("BLOB_CORRUPT", `${wanted.source}: ${detail}`)
}

interface Place {
  readonly part: string
  readonly start: number
  readonly total: number
  readonly limit: number
}

async function append(answer: Dispatcher.ResponseData, wanted: Download, place: Place): Promise<number> {
  let file: FileHandle
  try {
    file = await open(place.part, place.start > 0 ? "r+" : "w", 0o600)
  } catch (error) {
    throw writeFailure(error, place.part)
  }
  let at = place.start
  try {
    for await (const chunk of bodyChunks(answer)) {
      if (at + chunk.byteLength > place.limit) throw tooLarge(wanted.source, place.limit, at + chunk.byteLength)
      await writeAll(file, chunk, at, place.part)
      at += chunk.byteLength
      wanted.onBytes?.(at, place.total)
    }
    await file.truncate(at)
    await file.sync()
  } catch (error) {
    throw writeFailure(error, place.part)
  } finally {
    await file.close()
  }
  return at
}

async function writeAll(file: FileHandle, chunk: Uint8Array, at: number, path: string): Promise<void> {
  for (let done = 0; done < chunk.byteLength;) {
    try {
      done += (await file.write(chunk, done, chunk.byteLength - done, at + done)).bytesWritten
    } catch (error) {
      throw writeFailure(error, path)
    }
  }
}

function rangeStart(answer: Dispatcher.ResponseData): number {
  const header = answer.headers["content-range"]
  const start = typeof header === "string" ? /^bytes (\d{1,15})-/.exec(header)?.[1] : undefined
  if (start === undefined)
    throw new LaminaError("BLOB_CORRUPT", `expected a Content-Range with status 206, got ${String(header)}`)
  return Number(start)
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (systemCode(error) === "ENOENT") return 0
    throw error
  }
}
