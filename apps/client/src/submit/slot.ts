import { closeSync, constants, fdatasync, openSync, rmSync } from "node:fs"
import { dirname } from "node:path"
import { promisify } from "node:util"

import type { SealedEnvelope, SealedParts } from "@lamina/crypto"
import { concat, equalBytes, hash, parseSealed, syncFolder, utf8 } from "@lamina/crypto"
import { LaminaError } from "@lamina/protocol"

import { makeFolder, readIfThere, writeAll, writeFailure } from "../durable.js"
import type { RoundName } from "../events.js"

const synced = promisify(fdatasync)
const SLOT_BYTES = 16 * 1024
/** The name stands in a sector of its own: a disk writes a sector whole or not at all. */
const SECTOR_BYTES = 512
const SIGNATURE_BYTES = 64
const HASH_BYTES = 32

interface Held extends RoundName {
  /** Of envelope and signature. */
  readonly bytes: number
  readonly hash: string
}

/**
 * Room for one small sealed envelope in a file whose length never changes: making it durable is one write and one sync
 * of bytes, with no name, length or folder for the file system to log. An envelope whose name stands here but whose
 * bytes are not what was sealed is BLOB_CORRUPT: it may have been sent.
 */
export class Slot {
  #file: number | undefined
  #held: Held | undefined

  private constructor(private readonly path: string) {}

  static async open(path: string): Promise<Slot> {
    const slot = new Slot(path)
    const bytes = await readIfThere(path)
    slot.#held = bytes && nameIn(bytes)
    return slot
  }

  /** Whose envelope is here. */
  get name(): RoundName | undefined {
    return this.#held && { runId: this.#held.runId, round: this.#held.round }
  }

  holds({ runId, round }: RoundName): boolean {
    return this.#held?.runId === runId && this.#held.round === round
  }

  /** False for an envelope that is too large, or while another is here. */
  fits({ bytes }: SealedParts): boolean {
    return !this.#held && SECTOR_BYTES + bytes + SIGNATURE_BYTES <= SLOT_BYTES
  }

  /** Durable when it returns. Throws STORAGE_FULL, FILE_UNWRITABLE. */
  async put(
    { runId, round }: RoundName,
    { envelope, signature }: SealedParts & { readonly envelope: Uint8Array },
  ): Promise<void> {
    const content = concat(envelope, signature)
    const held = { runId, round, bytes: content.byteLength, hash: Buffer.from(hash(content)).toString("hex") }
    const name = utf8(JSON.stringify(held))
    const sector = new Uint8Array(SECTOR_BYTES)
    sector.set(hash(name))
    sector.set(Uint8Array.of(name.byteLength & 255, name.byteLength >> 8), HASH_BYTES)
    sector.set(name, HASH_BYTES + 2)
    try {
      const isNew = this.#file === undefined
      if (isNew) await makeFolder(dirname(this.path))
      const file = (this.#file ??= openSync(this.path, constants.O_RDWR | constants.O_CREAT, 0o600))
      const room = new Uint8Array(isNew ? SLOT_BYTES - SECTOR_BYTES - content.byteLength : 0)
      writeAll(file, concat(sector, content, room), 0)
      await synced(file)
      if (isNew) await syncFolder(dirname(this.path))
    } catch (error) {
      throw writeFailure(error, this.path)
    }
    this.#held = held
  }

  /** The envelope of this round, where it is here. Throws BLOB_CORRUPT. */
  async find(name: RoundName): Promise<(SealedEnvelope & { readonly envelope: Uint8Array }) | undefined> {
    const held = this.#held
    if (!held || !this.holds(name)) return undefined
    const content = (await readIfThere(this.path))?.subarray(SECTOR_BYTES, SECTOR_BYTES + held.bytes)
    if (!content || Buffer.from(hash(content)).toString("hex") !== held.hash)
      throw new LaminaError("BLOB_CORRUPT", `${this.path}: expected the envelope that was sealed, got other bytes`)
    const sealed = parseSealed(content, this.path)
    return { ...sealed, envelope: content.subarray(0, sealed.bytes) }
  }

  /** The next one may take its place; what a process that ends here leaves is known by its journal. */
  free(name: RoundName): void {
    if (this.holds(name)) this.#held = undefined
  }

  /** Leaves no file behind where no envelope is in it. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
    if (!this.#held) rmSync(this.path, { force: true })
  }
}

/** undefined where no envelope was put, or its name never became durable: then it was not sent either. */
function nameIn(bytes: Uint8Array): Held | undefined {
  const length = (bytes[HASH_BYTES] ?? 0) + 256 * (bytes[HASH_BYTES + 1] ?? 0)
  const name = bytes.subarray(HASH_BYTES + 2, HASH_BYTES + 2 + length)
  if (length === 0 || length > SECTOR_BYTES || !equalBytes(hash(name), bytes.subarray(0, HASH_BYTES))) return undefined
  return JSON.parse(new TextDecoder().decode(name)) as Held
}
