import type { FileHandle } from "node:fs/promises"
import { open } from "node:fs/promises"
import { dirname } from "node:path"

import type { ErrorCode } from "@lamina/protocol"

import { makeFolder, readIfThere, syncFolder, writeFailure } from "../durable.js"
import type { ReceiptStatus } from "../events.js"

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

  private constructor(path: string) {
    this.#path = path
  }

  /** Reads what is there; a last line that a crash cut off counts as never written. */
  static async open(path: string): Promise<Journal> {
    const journal = new Journal(path)
    await makeFolder(dirname(path))
    const bytes = await readIfThere(path)
    if (!bytes) return journal
    journal.#bytes = bytes.lastIndexOf(0x0a) + 1
    for (const line of new TextDecoder().decode(bytes.subarray(0, journal.#bytes)).split("\n"))
      if (line !== "") journal.#remember(JSON.parse(line) as JournalEntry)
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
    let file: FileHandle | undefined
    try {
      file = await open(this.#path, "a+", 0o600)
      await file.truncate(this.#bytes)
      await file.writeFile(line)
      await file.sync()
      if (this.#bytes === 0) await syncFolder(dirname(this.#path))
    } catch (error) {
      await file?.truncate(this.#bytes).catch(() => undefined) // the next append does it again
      throw writeFailure(error, this.#path)
    } finally {
      await file?.close()
    }
    this.#bytes += line.byteLength
    this.#remember(entry)
  }

  #remember(entry: JournalEntry): void {
    this.#entries.set(key(entry.runId, entry.round), entry)
  }
}

function key(runId: string, round: number): string {
  return `${runId}/${round}`
}
