import { checkOpen, equalBytes, leafHash, leavesLater, leavesOf, rootOf, toHex } from "@lamina/crypto"
import { LIMITS, messages } from "@lamina/protocol"
import type { Plan, UploadOpen, UploadTicket } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import type { PlanRow, UploadRow } from "../store/schema.js"
import type { CoordinatorContext } from "./context.js"
import { isSmall } from "./envelope-source.js"
import { bytesOf } from "./hex.js"
import type { RunDriver } from "./run-driver.js"
import { uploadIdOf } from "./upload-id.js"

const HASH_BYTES = 32
/** Room for a manifest above an update's tensors: what decodeUpdate accepts. */
const MANIFEST_BYTES_MAX = 4 * 1024 * 1024

/** An upload whose bytes are still needed, with the chunks known to be durable. */
interface OpenUpload {
  readonly row: UploadRow
  readonly chunks: number
  /** Bit i (byte i >> 3, bit i & 7): chunk i is durable and has the hash of its leaf. */
  readonly have: Uint8Array
}

export interface Chunks {
  readonly uploadId: string
  /** Of the first. */
  readonly index: number
  /** One chunk or several, one after another. */
  readonly bytes: Uint8Array
}

/** Uploads on their way in: what was promised with upload.open, chunk by chunk, until everything is durable. */
export class Uploads {
  readonly #open = new Map<string, Promise<OpenUpload>>()
  /** `run round client` -> the envelope that is being opened or committed, and by how many requests. */
  readonly #held = new Map<string, { readonly envelopeRoot: string; users: number }>()

  constructor(private readonly context: CoordinatorContext) {}

  /**
   * Opens an upload, or finds it again: the same envelope gets the same id and the chunks that are already there.
   * An envelope that comes along is durable when this resolves. Throws ROUND_MISMATCH, ROUND_CLOSED, NOT_SELECTED,
   * UPLOAD_CONFLICT, ENVELOPE_REJECTED, UPDATE_SHAPE, CHUNK_MISMATCH or STORAGE_FULL.
   */
  async open(clientId: string, request: UploadOpen, driver: RunDriver | undefined): Promise<UploadTicket> {
    const known = driver?.awaits(clientId, request.round) ? undefined : await this.#answered(clientId, request)
    if (known) return known
    const { plan, headerHash } = await this.#requireOpenRound(clientId, request, driver)
    const envelopeRoot = await this.#check(clientId, request, { plan, headerHash })
    const held = { run_id: request.runId, round: request.round, client_id: clientId, envelope_root: envelopeRoot }
    return this.holding(held, () => this.#openChecked(request, held))
  }

  /**
   * Runs `work` while nobody opens or commits another envelope of this client for this round: it would take the bytes
   * from under it. Throws UPLOAD_CONFLICT where somebody does.
   */
  async holding<T>(
    { run_id, round, client_id, envelope_root }: Pick<UploadRow, "run_id" | "round" | "client_id" | "envelope_root">,
    work: () => Promise<T>,
  ): Promise<T> {
    const key = `${run_id} ${round} ${client_id}`
    const held = this.#held.get(key) ?? { envelopeRoot: envelope_root, users: 0 }
    if (held.envelopeRoot !== envelope_root) throw conflict()
    this.#held.set(key, held)
    held.users += 1
    try {
      return await work()
    } finally {
      if (--held.users === 0) this.#held.delete(key)
    }
  }

  async #openChecked(
    request: UploadOpen,
    held: Pick<UploadRow, "run_id" | "round" | "client_id" | "envelope_root">,
  ): Promise<UploadTicket> {
    const { store, spool } = this.context
    const clientId = held.client_id
    const id = uploadIdOf(clientId, held.envelope_root)
    const whole = request.envelope && wholeEnvelope(request, request.envelope)
    if (!(await store.upload(id))) {
      const row: UploadRow = {
        id,
        ...held,
        header: request.header,
        signature: request.signature,
        leaves: Buffer.concat(request.leaves),
        envelope_bytes: request.envelopeBytes,
        opened_ms: this.context.now(),
      }
      const isNew = isSmall(row) || (await spool.create(id, request.envelopeBytes))
      const replaced = await store.openUpload(row, whole)
      if (replaced !== undefined && replaced !== id) await this.forget({ id: replaced, envelope_bytes: Infinity })
      if (isNew && !this.#open.has(id)) this.#open.set(id, Promise.resolve(begun(row, whole)))
      if (whole) this.context.metrics.uploadBytes.inc(whole.length)
    } else if (whole) await this.put(clientId, { uploadId: id, index: 0, bytes: whole })
    // the row may have outlived a power cut that the file's name did not
    else if (!isSmall({ envelope_bytes: request.envelopeBytes }) && (await spool.create(id, request.envelopeBytes)))
      this.recheck(id)
    const { have } = await this.load(id, clientId)
    return { uploadId: id, have: have.slice(), window: LIMITS.uploadWindow }
  }

  /**
   * Makes chunks durable, all or none; again with the same bytes: a no-op. Throws NOT_FOUND, CHUNK_MISMATCH,
   * ROUND_CLOSED or STORAGE_FULL.
   */
  async put(clientId: string, { uploadId, index, bytes }: Chunks): Promise<void> {
    const { row, chunks } = await this.load(uploadId, clientId)
    const offset = index * LIMITS.chunkBytes
    const rest = row.envelope_bytes - offset
    const whole = bytes.length === rest || (bytes.length < rest && bytes.length % LIMITS.chunkBytes === 0)
    if (index >= chunks || bytes.length === 0 || !whole)
      throw new LaminaError(
        "CHUNK_MISMATCH",
        `chunk ${index} of ${chunks}: expected ${expectedBytes(rest)}, got ${bytes.length}`,
      )
    const leaves = await leavesLater(bytes)
    const { have } = await this.load(uploadId, clientId) // its round may be over by now
    for (const [i, leaf] of leaves.entries())
      if (!equalBytes(leaf, leafOf(row, index + i)))
        throw new LaminaError("CHUNK_MISMATCH", `chunk ${index + i}: expected the bytes of its leaf, got others`)
    if (leaves.every((_, i) => bit(have, index + i))) return
    if (isSmall(row)) await this.context.store.putEnvelope(uploadId, bytes)
    else await this.context.spool.write(uploadId, offset, bytes)
    for (const i of leaves.keys()) setBit(have, index + i)
    this.context.metrics.uploadBytes.inc(bytes.length)
  }

  /** The upload of this client. Throws NOT_FOUND, or ROUND_CLOSED once its round is over. */
  async load(uploadId: string, clientId: string): Promise<OpenUpload> {
    let opening = this.#open.get(uploadId)
    if (!opening) {
      opening = this.#read(uploadId)
      this.#open.set(uploadId, opening)
      opening.catch(() => this.#open.delete(uploadId))
    }
    const upload = await opening
    if (upload.row.client_id !== clientId) throw unknownUpload()
    return upload
  }

  /** The row of an upload, from memory while it is open. */
  async row(uploadId: string): Promise<UploadRow | undefined> {
    const opening = this.#open.get(uploadId)
    const open = opening && (await opening.catch(() => undefined))
    return open?.row ?? this.context.store.upload(uploadId)
  }

  /** Drops what is known of an upload's chunks: they are read and hashed again when next needed. */
  recheck(uploadId: string): void {
    this.#open.delete(uploadId)
  }

  /** Removes the bytes: the round is over, or the client sealed another envelope before this one was committed. */
  async forget(upload: Pick<UploadRow, "id" | "envelope_bytes">): Promise<void> {
    this.#open.delete(upload.id)
    if (!isSmall(upload)) await this.context.spool.remove(upload.id)
  }

  /**
   * A ticket with every chunk for an envelope that has its durable answer already; the commit then repeats that
   * answer.
   */
  async #answered(clientId: string, request: UploadOpen): Promise<UploadTicket | undefined> {
    const update = await this.context.store.update(request.runId, request.round, clientId)
    if (!update) return undefined
    const uploadId = uploadIdOf(clientId, update.envelope_root)
    if (toHex(rootOf(request.leaves)) !== update.envelope_root) throw conflict()
    const have = new Uint8Array(Math.ceil(request.leaves.length / 8)).fill(0xff)
    return { uploadId, have, window: LIMITS.uploadWindow }
  }

  async #requireOpenRound(
    clientId: string,
    request: UploadOpen,
    driver: RunDriver | undefined,
  ): Promise<{ plan: PlanRow; headerHash: string }> {
    const { runId, round } = request
    const plan = await this.context.store.plan(runId, round, clientId)
    if (plan && driver?.carries(round)) {
      const trainedFor = await this.context.store.round(runId, round)
      if (trainedFor) return { plan, headerHash: trainedFor.header_hash }
    }
    if (!driver || round < driver.number)
      throw new LaminaError("ROUND_CLOSED", `round ${round} of run ${runId} is over`)
    if (round > driver.number || !driver.open)
      throw new LaminaError("ROUND_MISMATCH", `round ${round} of run ${runId} is not open`)
    if (driver.open.round.phase !== "collecting")
      throw new LaminaError("ROUND_CLOSED", `round ${round} of run ${runId} is sealed`)
    const headerHash = driver.open.row.header_hash
    if (!plan) throw new LaminaError("NOT_SELECTED", `expected a client of the cohort of round ${round}, got another`)
    return { plan, headerHash }
  }

  /** Header, sizes and signature, before anything is allocated. Returns the envelope's root. */
  async #check(
    clientId: string,
    request: UploadOpen,
    { plan, headerHash }: { plan: PlanRow; headerHash: string },
  ): Promise<string> {
    const { store, identity, sessions } = this.context
    const publicKey = sessions.connected.get(clientId)?.publicKey ?? (await store.client(clientId))?.public_key
    if (!publicKey) throw new LaminaError("NOT_SELECTED", "expected a registered client")
    const expected = {
      federationId: identity.federationId,
      roundHeaderHash: bytesOf(headerHash),
      clientId: bytesOf(clientId),
    }
    const { root, header } = checkOpen(request, publicKey, expected)
    const bytesMax = plaintextBytesMax(messages.Plan.decode(plan.plan))
    if (header.plaintextBytes > bytesMax)
      throw new LaminaError(
        "UPDATE_SHAPE",
        `expected at most ${bytesMax} bytes for this plan, got ${header.plaintextBytes}`,
      )
    return toHex(root)
  }

  async #read(uploadId: string): Promise<OpenUpload> {
    const row = /^[0-9a-f]{32}$/.test(uploadId) ? await this.context.store.upload(uploadId) : undefined
    if (!row) throw unknownUpload()
    if (row.leaves.length === 0)
      throw new LaminaError("ROUND_CLOSED", `round ${row.round} of run ${row.run_id} is over`)
    const upload = begun(row)
    for (let first = 0; first < upload.chunks; first += LIMITS.requestChunksMax) {
      const [at, length] = [first * LIMITS.chunkBytes, LIMITS.requestChunksMax * LIMITS.chunkBytes]
      const bytes = isSmall(row)
        ? await this.context.store.envelope(uploadId)
        : await this.context.spool.read(uploadId, at, length)
      for (const [i, leaf] of (bytes ? leavesOf(bytes) : []).entries())
        if (first + i < upload.chunks && equalBytes(leaf, leafOf(row, first + i))) setBit(upload.have, first + i)
    }
    return upload
  }
}

function expectedBytes(rest: number): string {
  return rest > LIMITS.chunkBytes ? `whole chunks of ${LIMITS.chunkBytes} bytes` : `${Math.max(0, rest)} bytes`
}

/** An upload without any chunk, or with the only one. */
function begun(row: UploadRow, whole?: Uint8Array): OpenUpload {
  const chunks = row.leaves.length / HASH_BYTES
  const have = new Uint8Array(Math.ceil(chunks / 8))
  if (whole) setBit(have, 0)
  return { row, chunks, have }
}

/** The small envelope that came with upload.open, as one chunk. Throws CHUNK_MISMATCH. */
function wholeEnvelope({ envelopeBytes, leaves }: UploadOpen, bytes: Uint8Array): Uint8Array {
  const [leaf, ...rest] = leaves
  if (bytes.length !== envelopeBytes || rest.length > 0)
    throw new LaminaError("CHUNK_MISMATCH", `envelope: expected all ${envelopeBytes} bytes, got ${bytes.length}`)
  if (!leaf || !equalBytes(leafHash(bytes), leaf))
    throw new LaminaError("CHUNK_MISMATCH", "envelope: expected the bytes of its leaf, got others")
  return bytes
}

/** True when every chunk is durable. */
export function isComplete({ chunks, have }: OpenUpload): boolean {
  for (let i = 0; i < chunks; i++) if (!bit(have, i)) return false
  return true
}

/** Bytes an update that answers this plan can have at most. */
function plaintextBytesMax(plan: Plan): number {
  const alignment = 2 * 64
  const tensors = plan.modules.map(
    ({ rank, outFeatures, inFeatures }) => 4 * rank * (outFeatures + inFeatures) + alignment,
  )
  return tensors.reduce((sum, bytes) => sum + bytes, MANIFEST_BYTES_MAX)
}

function leafOf(row: UploadRow, index: number): Uint8Array {
  return row.leaves.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES)
}

function bit(bits: Uint8Array, index: number): boolean {
  return ((bits[index >> 3] ?? 0) & (1 << (index & 7))) !== 0
}

function setBit(bits: Uint8Array, index: number): void {
  bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7))
}

function unknownUpload(): LaminaError {
  return new LaminaError("NOT_FOUND", "expected the id of an upload of this client, got another")
}

export function conflict(): LaminaError {
  return new LaminaError("UPLOAD_CONFLICT", "expected the envelope this client sent first in this round, got another")
}
