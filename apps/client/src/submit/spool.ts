import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs"
import { open, rm, rmdir } from "node:fs/promises"
import { basename, join } from "node:path"

import type { Identity, SealedEnvelope, SealInput } from "@lamina/crypto"
import { Buffers, equalBytes, leavesOf, readSealed, sealLater, spoolEnvelope } from "@lamina/crypto"
import { LaminaError, LIMITS, messages, ownMemory } from "@lamina/protocol"
import type { Memory } from "@lamina/protocol"

import { exists } from "../durable.js"
import type { RoundName } from "../events.js"
import type { VerifiedTask } from "../verify.js"
import { Slots } from "../slots.js"
import { Slot } from "./slot.js"

/** A sealed update on this disk: what is sent, and sent again, as it is. */
export interface SpooledUpdate extends RoundName, Omit<SealedEnvelope, "path"> {
  /** RH of the round it was sealed for. */
  readonly headerHash: Uint8Array
  /** Chunks as they are on the disk, in memory of `memory`. Throws BLOB_CORRUPT when that is not what was sealed. */
  chunks(run: ChunkRun, memory?: Memory): Promise<Uint8Array>
  /** The whole envelope, where it was sealed a moment ago and the process has room for it, until `release`. */
  readonly held?: Uint8Array
  /** Nobody reads `held` any more; again: a no-op. */
  release(): void
}

/** Chunks of an envelope, one after another. */
export interface ChunkRun {
  readonly first: number
  readonly count: number
}

/** Where the chunks of a run lie in an envelope of so many bytes. */
export function placeOf({ first, count }: ChunkRun, bytes: number): { start: number; end: number } {
  return { start: first * LIMITS.chunkBytes, end: Math.min(bytes, (first + count) * LIMITS.chunkBytes) }
}

/** Envelopes kept in memory between sealing and sending, by all clients of the process; others are read back. */
const HELD_BYTES_MAX = 64 * 1024 * 1024
let heldBytes = 0

/**
 * Memory of all clients of the process. A socket may go on reading an envelope after its request was answered: what
 * comes into that memory next is another envelope, and never an update in the clear.
 */
const envelopes = new Buffers(HELD_BYTES_MAX)

interface SealInputs {
  readonly identity: Identity
  readonly task: VerifiedTask
  readonly federationId: Uint8Array
  /** Encoded, or how to encode it once it is its turn; must stay as it is until it is sealed. */
  readonly update: Uint8Array | (() => SealInput["plaintext"])
}

/** An update and its envelope are in memory while it is sealed; more at once would not be faster. */
const sealing = new Slots(8)
/** While uploads get on, an envelope is sent before others are sealed, and need not be read back; else it waits. */
const SENT_FIRST_MS = 1_000

/**
 * One folder per round: `work/` while it trains, `envelope` once it is sealed; a small envelope takes the slot that all
 * rounds share instead. The envelope is there whole and durable or not at all, and nothing is sent before; so whoever
 * finds one never seals another.
 *
 * The file of an answered round becomes `spare`, and the next envelope is written over it before it takes its name. The
 * disk holds no more for it than the round did that needed it. Only files that this process wrote: after a power cut
 * two names may be one file.
 */
export class Spool {
  readonly #spare: string
  #spareInUse = false
  /** Paths of envelopes that this process wrote. */
  readonly #written = new Set<string>()
  /** Folders of rounds that may be there: most rounds have none, and to ask the disk of each takes its time. */
  readonly #folders: Set<string>

  private constructor(
    private readonly folder: string,
    private readonly slot: Slot,
  ) {
    this.#spare = join(folder, "spare")
    this.#folders = new Set(existsSync(folder) ? readdirSync(folder).map((entry) => join(folder, entry)) : [])
  }

  /** Makes no folder yet: the first envelope or checkpoint does. */
  static async open(folder: string): Promise<Spool> {
    const spool = new Spool(folder, await Slot.open(join(folder, "slot")))
    rmSync(spool.#spare, { force: true })
    return spool
  }

  close(): void {
    this.slot.close()
    rmSync(this.#spare, { force: true })
  }

  /** Folder for a trainer's checkpoint. */
  workFolder(name: RoundName): string {
    return join(this.#roundFolder(name), "work")
  }

  /** The same, and it is there. */
  makeWorkFolder(name: RoundName): string {
    const folder = this.workFolder(name)
    this.#folders.add(this.#roundFolder(name))
    mkdirSync(folder, { recursive: true })
    return folder
  }

  /** Rounds with a finished envelope. */
  async list(): Promise<RoundName[]> {
    const names = this.slot.name ? [this.slot.name] : []
    for (const name of this.#rounds()) if (await this.#hasEnvelope(name)) names.push(name)
    return names
  }

  /** Throws BLOB_CORRUPT for a file that is no envelope any more. */
  async find(name: RoundName): Promise<SpooledUpdate | undefined> {
    const slotted = await this.slot.find(name)
    if (slotted) return inMemory(asSpooled(name, slotted), slotted.envelope)
    const sealed = this.#hasFolder(name) ? await readSealed(this.#envelope(name)) : undefined
    return sealed && asSpooled(name, sealed)
  }

  /** Durable when it returns. Throws STORAGE_FULL and leaves nothing half-written. */
  async seal(name: RoundName, inputs: SealInputs): Promise<SpooledUpdate> {
    const leave = await sealing.enter()
    try {
      const spooled = await this.#seal(name, inputs)
      if (this.slot.holds(name)) leave()
      else setTimeout(leave, SENT_FIRST_MS).unref()
      const release = (): void => {
        spooled.release()
        leave()
      }
      return { ...spooled, release }
    } catch (error) {
      leave()
      throw error
    }
  }

  async #seal(name: RoundName, { identity, task, federationId, update }: SealInputs): Promise<SpooledUpdate> {
    if (this.slot.holds(name) || (await this.#hasEnvelope(name)))
      throw new Error(`round ${name.round} of run ${name.runId} is sealed already`)
    const { headerHash: roundHeaderHash, header } = task
    const plaintext = typeof update === "function" ? update() : update
    const input = { identity, federationId, roundHeaderHash, recipientKey: header.recipientKey, plaintext }
    const sealed = await sealLater({ ...input, memory: envelopes.take })
    const path = this.#envelope(name)
    const { envelope, ...parts } = sealed
    const spooled = asSpooled(name, { ...parts, path }, roundHeaderHash)
    if (this.slot.fits(sealed)) {
      await this.slot.put(name, sealed)
      return inMemory(spooled, envelope)
    }
    this.#folders.add(this.#roundFolder(name))
    await this.#write(sealed, path)
    if (heldBytes + envelope.buffer.byteLength <= HELD_BYTES_MAX) return { ...spooled, ...hold(envelope) }
    envelopes.give(envelope)
    return spooled
  }

  /** Over the spare, where there is one and no other envelope is being written to it. */
  async #write(sealed: Parameters<typeof spoolEnvelope>[0], path: string): Promise<void> {
    if (this.#spareInUse) return spoolEnvelope(sealed, path)
    this.#spareInUse = true
    try {
      await spoolEnvelope(sealed, path, this.#spare)
      this.#written.add(path)
    } finally {
      this.#spareInUse = false
    }
  }

  /**
   * Envelope, checkpoint and all of a round. What a power cut brings back, be it with bytes of the next envelope, is
   * removed by the next process: the journal has its answer, or it was never sealed.
   */
  async remove(name: RoundName): Promise<void> {
    this.slot.free(name)
    if (!this.#hasFolder(name)) return
    const folder = this.#roundFolder(name)
    const envelope = this.#envelope(name)
    if (this.#written.delete(envelope) && !this.#spareInUse) keepAs(this.#spare, envelope)
    // a folder that goes may wait for the disk: a thread's work, as removing megabytes is
    await rmdir(folder).catch(() => rm(folder, { recursive: true, force: true }))
    this.#folders.delete(folder)
  }

  /** What a run left that was never sealed. */
  async removeWork(runId: string): Promise<void> {
    for (const name of this.#rounds())
      if (name.runId === runId && !(await this.#hasEnvelope(name))) await this.remove(name)
  }

  #rounds(): RoundName[] {
    const names: RoundName[] = []
    for (const folder of this.#folders) {
      const [, runId, round] = /^(.+)\.(\d{1,10})$/.exec(basename(folder)) ?? []
      if (runId !== undefined) names.push({ runId, round: Number(round) })
    }
    return names.sort((left, right) => left.round - right.round)
  }

  #hasFolder(name: RoundName): boolean {
    return this.#folders.has(this.#roundFolder(name))
  }

  async #hasEnvelope(name: RoundName): Promise<boolean> {
    return this.#hasFolder(name) && (await exists(this.#envelope(name)))
  }

  #roundFolder({ runId, round }: RoundName): string {
    return join(this.folder, `${runId}.${round}`)
  }

  #envelope(name: RoundName): string {
    return join(this.#roundFolder(name), "envelope")
  }
}

function keepAs(spare: string, envelope: string): void {
  try {
    renameSync(envelope, spare)
  } catch {
    // it goes with its folder, and the removal says what is wrong
  }
}

function asSpooled(name: RoundName, sealed: SealedEnvelope, roundHeaderHash?: Uint8Array): SpooledUpdate {
  const { header, leaves, root, signature, bytes } = sealed
  const headerHash = roundHeaderHash ?? messages.EnvelopeHeader.decode(header).roundHeaderHash
  const spooled = { ...name, header, leaves, root, signature, bytes, headerHash }
  return { ...spooled, chunks: (run, memory = ownMemory) => readChunks(sealed, run, memory), release: () => undefined }
}

/** A small envelope is one chunk and stays in memory with its parts. */
function inMemory(spooled: SpooledUpdate, envelope: Uint8Array): SpooledUpdate {
  return { ...spooled, held: envelope, chunks: async () => envelope }
}

function hold(envelope: Uint8Array): Pick<SpooledUpdate, "held" | "release"> {
  let held = true
  heldBytes += envelope.buffer.byteLength
  const release = (): void => {
    if (!held) return
    held = false
    heldBytes -= envelope.buffer.byteLength
    envelopes.give(envelope)
  }
  return { held: envelope, release }
}

async function readChunks(sealed: SealedEnvelope, run: ChunkRun, memory: Memory): Promise<Uint8Array> {
  const { path, leaves } = sealed
  const { start, end } = placeOf(run, sealed.bytes)
  const bytes = memory(end - start)
  const file = await open(path, "r")
  try {
    for (let at = 0; at < bytes.byteLength;) {
      const { bytesRead } = await file.read(bytes, at, bytes.byteLength - at, start + at)
      if (bytesRead === 0) break
      at += bytesRead
    }
  } finally {
    await file.close()
  }
  for (const [i, got] of leavesOf(bytes).entries()) {
    const leaf = leaves[run.first + i]
    if (!leaf || !equalBytes(got, leaf))
      throw new LaminaError("BLOB_CORRUPT", `${path}: chunk ${run.first + i} is not what was sealed`, {
        hint: "the disk changed it; this round is lost for this client",
      })
  }
  return bytes
}
