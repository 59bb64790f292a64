import { Buffers, toHex } from "@lamina/crypto"
import type { Receipt, UploadTicket } from "@lamina/protocol"
import { hasErrorCode, LaminaError, LIMITS } from "@lamina/protocol"

import type { Emit, RoundName } from "../events.js"
import { CONNECTIONS_MAX } from "../fetch/http.js"
import type { Http } from "../fetch/http.js"
import { TransportError } from "../session/link.js"
import type { Session } from "../session/session.js"
import { Slots } from "../slots.js"
import type { Random } from "../timing.js"
import { backoffMs } from "../timing.js"
import { placeOf } from "./spool.js"
import type { ChunkRun, SpooledUpdate } from "./spool.js"

export interface UploadOptions {
  readonly session: Session
  readonly http: Http
  readonly random: Random
  readonly emit: Emit
  readonly signal: AbortSignal
}

/** Requests that all clients of the process have in memory at once, 36 MiB at most: half the connections. */
const sending = new Slots(CONNECTIONS_MAX / 2)
const buffers = new Buffers((CONNECTIONS_MAX / 2) * LIMITS.requestBytesMax)

/** Twice as many chunks to a request while one takes less than this, half as many where it takes more. */
const QUICK_MS = 1_000
const SLOW_MS = 4_000
/** What the last requests of this process say of its way to the coordinator. */
let chunksAtOnce = 1
/** By origin: more than so many were refused, as a proxy on the way takes no such body, and will not the next time. */
const chunksAtOnceMax = new Map<string, number>()

/** Refusals after which the upload is opened again: it lacks chunks, was evicted, or has no room at this moment. */
const OPEN_AGAIN = new Set(["UPLOAD_INCOMPLETE", "CHUNK_MISMATCH", "NOT_FOUND"])
/** An upload that the coordinator knows nothing of so many times in a row will not be known the next time. */
const OPENED_MAX = 20

/**
 * Brings a spooled envelope to the coordinator: asks what it has, sends the rest, commits; a small one goes along with
 * the question, and a coordinator that takes it so answers with the receipt. Each step may be repeated from any point:
 * after lost connections, a restart of either side, an evicted upload. Returns the receipt as it came. Throws the
 * coordinator's refusal (ROUND_CLOSED, UPLOAD_CONFLICT, ENVELOPE_REJECTED, ...) and BLOB_CORRUPT when the spool on this
 * disk is damaged.
 */
export async function upload(options: UploadOptions, name: RoundName, spooled: SpooledUpdate): Promise<Receipt> {
  const { session, emit, random } = options
  const whole =
    spooled.bytes <= LIMITS.smallEnvelopeBytesMax
      ? (spooled.held ?? (await spooled.chunks({ first: 0, count: 1 })))
      : undefined
  let bytesSent = 0
  for (let opened = 0; ; opened++) {
    const ticket = await session.request("upload.open", {
      ...name,
      header: spooled.header,
      leaves: spooled.leaves,
      signature: spooled.signature,
      envelopeBytes: spooled.bytes,
      ...(whole ? { envelope: whole } : {}),
    })
    try {
      if (ticket.receipt) {
        bytesSent = spooled.bytes
        emit("uploading", { ...name, chunks: 1, chunksTotal: 1 })
      } else bytesSent += await sendMissing(options, name, { spooled, ticket })
      emit("uploaded", { ...name, envelopeRoot: toHex(spooled.root), bytes: spooled.bytes, bytesSent })
      if (ticket.receipt) return ticket.receipt
      return await session.request("upload.commit", { uploadId: ticket.uploadId, envelopeRoot: spooled.root })
    } catch (error) {
      if (!(error instanceof LaminaError) || !OPEN_AGAIN.has(error.code) || opened >= OPENED_MAX) throw error
      await session.pause("upload", error, backoffMs(opened, random))
    }
  }
}

interface Sending {
  readonly spooled: SpooledUpdate
  readonly ticket: UploadTicket
}

/** All chunks the ticket lacks, `window` at a time; returns the bytes sent. */
async function sendMissing(options: UploadOptions, name: RoundName, { spooled, ticket }: Sending): Promise<number> {
  const chunksTotal = spooled.leaves.length
  const missing = missingChunks(ticket.have, chunksTotal)
  if (missing.length > 0 && ticket.window < 1)
    throw new LaminaError("UPLOAD_INCOMPLETE", "the coordinator takes no chunks at this moment")
  let chunks = chunksTotal - missing.length
  let bytesSent = 0
  const window = Math.min(ticket.window, LIMITS.uploadWindow)
  let runMax = Math.min(window, chunksAtOnceMax.get(options.http.origin) ?? LIMITS.requestChunksMax)
  const sender = async (): Promise<void> => {
    for (;;) {
      const run = nextRun(missing, runMax, spooled)
      if (!run) return
      const sent = await sending.run(() => sendRun(options, { spooled, ticket }, run))
      if (sent === 0) {
        missing.unshift(...Array.from({ length: run.count }, (_, i) => run.first + i))
        runMax = Math.max(1, Math.floor(run.count / 2)) // for the rest of this upload
        continue
      }
      bytesSent += sent
      chunks += run.count
      options.emit("uploading", { ...name, chunks, chunksTotal })
    }
  }
  const senders = Array.from({ length: Math.floor(window / runMax) }, sender)
  try {
    await Promise.all(senders)
  } finally {
    missing.length = 0 // one failed: the others end after the request they are at
    await Promise.allSettled(senders)
  }
  return bytesSent
}

/**
 * Takes the next missing chunks that follow one another, as many as a request carries by now; the last of the envelope
 * goes along with them where it is no whole one.
 */
function nextRun(missing: number[], max: number, { bytes, leaves }: SpooledUpdate): ChunkRun | undefined {
  const [first] = missing
  if (first === undefined) return undefined
  let count = 1
  while (count < Math.min(max, chunksAtOnce) && missing[count] === first + count) count += 1
  const last = leaves.length - 1
  if (count > 1 && first + count === last && missing[count] === last && bytes % LIMITS.chunkBytes > 0) count += 1
  missing.splice(0, count)
  return { first, count }
}

/**
 * Sends the chunks of a run in one request; returns its bytes. 0 where one of several chunks failed on its way: the
 * link may have become slow, or something between here and there takes no such body. They are to go in smaller ones.
 */
async function sendRun(options: UploadOptions, { spooled, ticket }: Sending, run: ChunkRun): Promise<number> {
  const { start, end } = placeOf(run, spooled.bytes)
  const held = spooled.held?.subarray(start, end)
  const body = held ?? (await spooled.chunks(run, buffers.take))
  const path = `/v1/uploads/${encodeURIComponent(ticket.uploadId)}/chunks/${run.first}`
  const several = run.count > 1
  const beganMs = performance.now()
  try {
    await options.http.request({ method: "PUT", path, body, once: several }, (answer) => answer.body.dump())
  } catch (error) {
    const lost = error instanceof TransportError
    const tooLarge = lost ? error.status === 413 : hasErrorCode(error) && error.code === "FRAME_TOO_LARGE"
    if (!several || options.signal.aborted || !(tooLarge || lost)) throw error
    chunksAtOnce = Math.floor(run.count / 2)
    if (tooLarge) chunksAtOnceMax.set(options.http.origin, chunksAtOnce)
    return 0
  }
  const tookMs = performance.now() - beganMs
  if (tookMs < QUICK_MS) chunksAtOnce = Math.min(LIMITS.requestChunksMax, Math.max(chunksAtOnce, 2 * run.count))
  else if (tookMs > SLOW_MS) chunksAtOnce = Math.max(1, Math.floor(run.count / 2))
  if (!held) buffers.give(body)
  return end - start
}

/**
 * Indices of the chunks whose bit is not set; bit i of the map is bit i & 7 of byte i >> 3, and a short map lacks the
 * rest.
 */
export function missingChunks(have: Uint8Array, count: number): number[] {
  return Array.from({ length: count }, (_, i) => i).filter((i) => (((have[i >> 3] ?? 0) >> (i & 7)) & 1) === 0)
}
