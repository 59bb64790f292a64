import { closeSync, constants, fdatasync, ftruncateSync } from "node:fs"
import { dirname } from "node:path"
import { promisify } from "node:util"

import { syncFolder } from "@lamina/crypto"
import type { ErrorCode } from "@lamina/protocol"

import { openInFolder, readIfThere, systemCode, writeAll, writeFailure } from "../durable.js"
import type { ReceiptStatus } from "../events.js"

const synced = promisify(fdatasync)
/** Some twenty entries: a sync that finds the file's length unchanged need not wait for the file system's own log. */
const ROOM_BYTES = 16 * 1024

/**
 * What this client has submitted, one line of JSON per (run, round), fsynced before anybody is told. A round in here
 * is never submitted again, whatever the coordinator asks.
 */
export interface JournalEntry {
  readonly runId: string
  readonly round: number
  /** REFUSED: the coordinator took nothing and signed nothing, `code` says why. */
  readonly status: ReceiptStatus | "REFUSED"
  readonly code?: ErrorCode
  readonly reason?: string
  readonly sequence: number
  /** Hex; empty where the disk destroyed the envelope. */
  readonly envelopeRoot: string
  /** Hex of RH: the next round's header must name it as the one before. */
  readonly headerHash: string
  /** Body and signature as received, base64: proof against a coordinator that later denies the update. */
  readonly receipt?: { readonly body: string; readonly signature: string }
}

export class Journal {
  readonly #path: string
  readonly #entries = new Map<string, JournalEntry>()
  #bytes = 0
  #file: number | undefined
  /** From #bytes to here stand empty lines; 0 while nobody knows, after an earlier process or a failure. */
  #roomBytes = 0

  private constructor(path: string) {
    this.#path = path
  }

  /**
   * Reads what is there. A last line that a crash cut off counts as never written; after it stand empty lines, room
   * for those to come.
   */
  static async open(path: string): Promise<Journal> {
    const journal = new Journal(path)
    const bytes = await readIfThere(path)
    if (!bytes) return journal
    const lines = new TextDecoder().decode(bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1)).split("\n")
    const last = lines.findLastIndex((line) => line !== "")
    for (const [i, line] of lines.slice(0, last + 1).entries()) {
      if (line === "") break // the end of a line that a power cut left without its beginning comes after it
      const entry = i === last ? whole(line) : (JSON.parse(line) as JournalEntry)
      if (!entry) break
      journal.#remember(entry)
      journal.#bytes += Buffer.byteLength(line) + 1
    }
    return journal
  }

  find(runId: string, round: number): JournalEntry | undefined {
    return this.#entries.get(key(runId, round))
  }

  /** Latest round of a run that was submitted, 0 before the first. */
  lastRound(runId: string): number {
    let last = 0
    for (const entry of this.#entries.values()) if (entry.runId === runId && entry.round > last) last = entry.round
    return last
  }

  /** Durable when it returns. Throws STORAGE_FULL, FILE_UNWRITABLE, and then nothing of the entry remains. */
  async append(entry: JournalEntry): Promise<void> {
    const line = new TextEncoder().encode(`${JSON.stringify(entry)}\n`)
    try {
      const file = (this.#file ??= await openInFolder(this.#path, constants.O_RDWR | constants.O_CREAT))
      if (this.#bytes + line.byteLength > this.#roomBytes) this.#makeRoom(file, line.byteLength)
      writeAll(file, line, this.#bytes)
      await synced(file)
      if (this.#bytes === 0) await syncFolder(dirname(this.#path))
    } catch (error) {
      this.#cut()
      throw writeFailure(error, this.#path)
    }
    this.#bytes += line.byteLength
    this.#remember(entry)
  }

  /** Whatever stands behind the last entry gives way to empty lines. */
  #makeRoom(file: number, bytes: number): void {
    this.#roomBytes = 0
    ftruncateSync(file, this.#bytes)
    const room = new Uint8Array(Math.max(bytes, ROOM_BYTES)).fill(0x0a)
    writeAll(file, room, this.#bytes)
    this.#roomBytes = this.#bytes + room.byteLength
  }

  /** Lets go of the file; an append opens it again. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }

  /** Where this fails as well, the next append does it again. */
  #cut(): void {
    this.#roomBytes = 0
    try {
      if (this.#file !== undefined) ftruncateSync(this.#file, this.#bytes)
    } catch (error) {
      if (systemCode(error) === undefined) throw error
    }
  }

  #remember(entry: JournalEntry): void {
    this.#entries.set(key(entry.runId, entry.round), entry)
  }
}

function key(runId: string, round: number): string {
  return `${runId}/${round}`
}

/** undefined for a line that does not end as it should. */
function whole(line: string): JournalEntry | undefined {
  try {
    return JSON.parse(line) as JournalEntry
  } catch {
    return undefined // the beginning of an object is no JSON
  }
}
