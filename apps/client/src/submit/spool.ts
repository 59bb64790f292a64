import { open, readdir } from "node:fs/promises"
import { join } from "node:path"

import type { Identity, SealedEnvelope } from "@lamina/crypto"
import { equalBytes, leafHash, readSealed, sealEnvelope } from "@lamina/crypto"
import { LaminaError, LIMITS, messages } from "@lamina/protocol"

import { exists, makeFolder, removeFolder } from "../durable.js"
import type { RoundName } from "../events.js"
import type { VerifiedTask } from "../verify.js"

/** A sealed update on this disk: what is sent, and sent again, as it is. */
export interface SpooledUpdate extends RoundName, Omit<SealedEnvelope, "path"> {
  /** RH of the round it was sealed for. */
  readonly headerHash: Uint8Array
  /** Chunk i as it is on the disk. Throws BLOB_CORRUPT when that is not what was sealed. */
  chunk(i: number): Promise<Uint8Array>
}

interface SealInputs {
  readonly identity: Identity
  readonly task: VerifiedTask
  readonly federationId: Uint8Array
  /** Encoded update. */
  readonly update: Uint8Array
}

/**
 * One folder per round: `work/` while it trains, `envelope` once it is sealed. The envelope appears under that name
 * whole and durable or not at all, and nothing is sent before; so whoever finds one never seals another.
 */
export class Spool {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async open(folder: string): Promise<Spool> {
    await makeFolder(folder)
    return new Spool(folder)
  }

  /** Folder for a trainer's checkpoint; made by whoever needs it. */
  workFolder(name: RoundName): string {
    return join(this.#roundFolder(name), "work")
  }

  /** Rounds with a finished envelope. */
  async list(): Promise<RoundName[]> {
    const names: RoundName[] = []
    for (const name of await this.#rounds()) if (await exists(this.#envelope(name))) names.push(name)
    return names
  }

  /** Throws BLOB_CORRUPT for a file that is no envelope any more. */
  async find(name: RoundName): Promise<SpooledUpdate | undefined> {
    const sealed = await readSealed(this.#envelope(name))
    return sealed && asSpooled(name, sealed)
  }

  /** Durable when it returns. Throws STORAGE_FULL and leaves nothing half-written. */
  async seal(name: RoundName, { identity, task, federationId, update }: SealInputs): Promise<SpooledUpdate> {
    if (await exists(this.#envelope(name)))
      throw new Error(`round ${name.round} of run ${name.runId} is sealed already`)
    const { headerHash: roundHeaderHash, header } = task
    const input = { identity, federationId, roundHeaderHash, recipientKey: header.recipientKey, plaintext: update }
    return asSpooled(name, await sealEnvelope(input, this.#envelope(name)))
  }

  /** Envelope, checkpoint and all of a round. */
  async remove(name: RoundName): Promise<void> {
    await removeFolder(this.#roundFolder(name))
  }

  /** What a run left that was never sealed. */
  async removeWork(runId: string): Promise<void> {
    for (const name of await this.#rounds())
      if (name.runId === runId && !(await exists(this.#envelope(name)))) await this.remove(name)
  }

  async #rounds(): Promise<RoundName[]> {
    const names: RoundName[] = []
    for (const entry of await readdir(this.#folder)) {
      const [, runId, round] = /^(.+)\.(\d{1,10})$/.exec(entry) ?? []
      if (runId !== undefined) names.push({ runId, round: Number(round) })
    }
    return names.sort((left, right) => left.round - right.round)
  }

  #roundFolder({ runId, round }: RoundName): string {
    return join(this.#folder, `${runId}.${round}`)
  }

  #envelope(name: RoundName): string {
    return join(this.#roundFolder(name), "envelope")
  }
}

function asSpooled(name: RoundName, sealed: SealedEnvelope): SpooledUpdate {
  const { header, leaves, root, signature, bytes, path } = sealed
  const headerHash = messages.EnvelopeHeader.decode(header).roundHeaderHash
  return { ...name, header, leaves, root, signature, bytes, headerHash, chunk: (i) => readChunk(sealed, path, i) }
}

async function readChunk({ leaves, bytes }: SealedEnvelope, path: string, i: number): Promise<Uint8Array> {
  const start = i * LIMITS.chunkBytes
  const chunk = new Uint8Array(Math.min(LIMITS.chunkBytes, bytes - start))
  const file = await open(path, "r")
  try {
    for (let at = 0; at < chunk.byteLength;) {
      const { bytesRead } = await file.read(chunk, at, chunk.byteLength - at, start + at)
      if (bytesRead === 0) break
      at += bytesRead
    }
  } finally {
    await file.close()
  }
  const leaf = leaves[i]
  if (!leaf || !equalBytes(leafHash(chunk), leaf))
    throw new LaminaError("BLOB_CORRUPT", `${path}: chunk ${i} is not what was sealed`, {
      hint: "the disk changed it; this round is lost for this client",
    })
  return chunk
}
