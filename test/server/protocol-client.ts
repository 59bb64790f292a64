import { once } from "node:events"

import { generateIdentity, hash, sealToBytes, sign } from "@lamina/crypto"
import type { Identity } from "@lamina/crypto"
import { LIMITS, encodeUpdate, errorCodeOfWire, messages } from "@lamina/protocol"
import type {
  AdapterModule,
  Capability,
  Challenge,
  Plan,
  Decline,
  Progress,
  ReceiptBody,
  RoundHeader,
  TaskOffer,
} from "@lamina/protocol"
import { WebSocket } from "ws"

/** First bytes of the messages on the control socket (docs/protocol.md, "Transport"). */
const KINDS: Readonly<Record<string, number>> = {
  ...{ "session.open": 1, "round.next": 2, "round.progress": 3, "upload.open": 4, "upload.commit": 5 },
  "round.decline": 6,
  ...{ reply: 0x80, hint: 0x81, challenge: 0x82 },
}

/** A refusal of the coordinator, by its code. */
export class Refused extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(`${code}: ${message}`)
  }
}

export interface Task {
  readonly offer: TaskOffer
  readonly header: RoundHeader
  readonly headerHash: Uint8Array
  readonly plan: Plan
}

/** The protocol of a client spoken by hand: every step can be left out, repeated or done wrong. */
export class ProtocolClient {
  readonly socket: WebSocket
  readonly identity: Identity
  readonly name: string
  token = ""
  federationId: Uint8Array = new Uint8Array(0)
  /** The coordinator's first message. */
  readonly challenge: Promise<Challenge>
  /** The code of the close. */
  readonly closed: Promise<number>
  readonly #waiting = new Map<number, (reply: Uint8Array) => void>()
  #asked = 0
  #hinted: () => void = () => undefined
  #challenged: (challenge: Challenge) => void = () => undefined

  constructor(
    readonly url: string,
    options: { name?: string; identity?: Identity } = {},
  ) {
    this.name = options.name ?? "north"
    this.identity = options.identity ?? generateIdentity()
    this.socket = new WebSocket(`${url.replace("http", "ws")}/v1/socket`)
    this.socket.on("error", () => undefined) // a close follows
    this.socket.on("message", (message: Buffer) => {
      if (message[0] === KINDS["hint"]) return this.#hinted()
      if (message[0] === KINDS["challenge"]) return this.#challenged(messages.Challenge.decode(message.subarray(1)))
      if (message[0] === KINDS["reply"]) this.#waiting.get(message.readUInt32LE(1))?.(message.subarray(5))
    })
    this.challenge = new Promise((resolve) => (this.#challenged = resolve))
    this.closed = new Promise((resolve) => this.socket.once("close", resolve))
  }

  /** The ok bytes of one request; its failure as Refused. `request`: a name, or the first byte of one there is not. */
  async request(request: string | number, frame: Uint8Array): Promise<Uint8Array> {
    const id = (this.#asked += 0x01_01_01) // every byte of it counts
    const answer = new Promise<Uint8Array>((resolve) => this.#waiting.set(id, resolve))
    await this.send(typeof request === "number" ? request : KINDS[request]!, id, frame)
    const ended = this.closed.then((code) => Promise.reject(new Error(`${request}: the connection ended (${code})`)))
    const { ok, failure } = messages.Reply.decode(await Promise.race([answer, ended]))
    if (failure) throw new Refused(errorCodeOfWire(failure.code), failure.message)
    return ok!
  }

  /** A message of the control socket, as soon as that is open. */
  async send(kind: number, id: number, frame: Uint8Array): Promise<void> {
    if (this.socket.readyState === WebSocket.CONNECTING) await once(this.socket, "open")
    const header = Buffer.alloc(5)
    header[0] = kind
    header.writeUInt32LE(id, 1)
    this.socket.send(Buffer.concat([header, frame]))
  }

  /** Resolves at the next hint. */
  hinted(): Promise<void> {
    return new Promise((resolve) => (this.#hinted = resolve))
  }

  /** Opens the session; `wrong` replaces parts of what is signed. */
  async open(
    options: {
      capability?: Partial<Capability>
      joinToken?: string
      version?: number
      wrong?: { federationId?: Uint8Array; nonce?: Uint8Array }
    } = {},
  ): Promise<this> {
    const { nonce, federationId } = await this.challenge
    const { publicKey } = this.identity
    const signed = [options.wrong?.federationId ?? federationId, options.wrong?.nonce ?? nonce, publicKey]
    const request = messages.OpenSession.encode({
      publicKey,
      signature: sign(this.identity, "lamina/v1/session", ...signed),
      name: this.name,
      capability: { ...NO_WISH, ...options.capability },
      joinToken: options.joinToken ?? "",
      version: options.version ?? 1,
      software: "test",
    })
    const session = messages.Session.decode(await this.request("session.open", request))
    this.token = session.token
    this.federationId = federationId
    return this
  }

  async next(runId: string, afterRound = 0) {
    const request = messages.NextTask.encode({ runId, afterRound })
    return messages.NextTaskReply.decode(await this.request("round.next", request))
  }

  /** Asks on every hint until there is a task. */
  async task(runId: string, afterRound = 0): Promise<Task> {
    for (;;) {
      const hinted = this.hinted()
      const { task: offer } = await this.next(runId, afterRound)
      if (offer) {
        const header = messages.RoundHeader.decode(offer.header)
        return { offer, header, headerHash: hash(offer.header), plan: messages.Plan.decode(offer.plan) }
      }
      await hinted
    }
  }

  async decline(decline: Decline): Promise<void> {
    await this.request("round.decline", messages.Decline.encode(decline))
  }

  async report(progress: Progress): Promise<void> {
    await this.request("round.progress", messages.Progress.encode(progress))
  }

  /** An envelope that answers a task; `change` spoils the update before it is sealed. */
  seal(
    task: Task,
    options: { fill?: number; weight?: number; change?: (modules: AdapterModule[]) => AdapterModule[] } = {},
  ) {
    const modules = answering(task.plan, options.fill ?? 1)
    const adapter = { modules: options.change ? options.change(modules) : modules }
    return sealToBytes({
      identity: this.identity,
      federationId: this.federationId,
      roundHeaderHash: task.headerHash,
      recipientKey: task.header.recipientKey,
      plaintext: encodeUpdate({
        weight: options.weight ?? 10,
        adapter,
        metrics: [{ name: "loss", value: 2.5 }],
        scores: [],
      }),
    })
  }

  /** `whole`: the envelope that goes along, for a receipt in the ticket. */
  async openUpload({ header }: Pick<Task, "header">, sealed: ReturnType<ProtocolClient["seal"]>, whole?: Uint8Array) {
    const request = messages.UploadOpen.encode({
      runId: header.runId,
      round: header.round,
      header: sealed.header,
      leaves: sealed.leaves,
      signature: sealed.signature,
      envelopeBytes: sealed.bytes,
      ...(whole ? { envelope: whole } : {}),
    })
    return messages.UploadTicket.decode(await this.request("upload.open", request))
  }

  putChunk(uploadId: string, index: number, body: Uint8Array): Promise<Response> {
    const headers = { authorization: `Bearer ${this.token}`, "content-type": "application/octet-stream" }
    return fetch(`${this.url}/v1/uploads/${uploadId}/chunks/${index}`, {
      method: "PUT",
      headers,
      body: Buffer.from(body),
    })
  }

  /** Every chunk whose bit is not set. */
  async putAll(
    uploadId: string,
    { envelope }: { envelope: Uint8Array },
    have: Uint8Array = new Uint8Array(0),
  ): Promise<void> {
    for (let i = 0; i * LIMITS.chunkBytes < envelope.length; i++) {
      if (((have[i >> 3] ?? 0) >> (i & 7)) & 1) continue
      const response = await this.putChunk(uploadId, i, chunkOf(envelope, i))
      if (response.status !== 204) throw new Error(`chunk ${i}: ${response.status} ${await response.text()}`)
    }
  }

  async commit(
    uploadId: string,
    envelopeRoot: Uint8Array,
  ): Promise<ReceiptBody & { raw: { body: Uint8Array; signature: Uint8Array } }> {
    const request = messages.UploadCommit.encode({ uploadId, envelopeRoot })
    const raw = messages.Receipt.decode(await this.request("upload.commit", request))
    return { ...messages.ReceiptBody.decode(raw.body), raw }
  }

  /** Everything from envelope to receipt. */
  async submit(task: Task, sealed = this.seal(task)) {
    const { uploadId, have } = await this.openUpload(task, sealed)
    await this.putAll(uploadId, sealed, have)
    return this.commit(uploadId, sealed.root)
  }

  close(): void {
    this.socket.close()
  }
}

export function chunkOf(envelope: Uint8Array, index: number): Uint8Array {
  return envelope.subarray(index * LIMITS.chunkBytes, (index + 1) * LIMITS.chunkBytes)
}

/** The code a request was refused with; fails when it was not. */
export async function refusal(request: Promise<unknown>): Promise<string> {
  try {
    await request
  } catch (error) {
    if (error instanceof Refused) return error.code
    throw error
  }
  throw new Error("expected a refusal, got an answer")
}

/** The smallest adapter a plan asks for: A and B filled with `fill` and 2 * fill. */
export function answering(plan: Plan, fill: number): AdapterModule[] {
  return plan.modules.map(({ name, outFeatures, inFeatures, rank, alpha }) => ({
    ...{ name, outFeatures, inFeatures, rank, alpha, scaling: plan.scaling },
    a: new Float32Array(rank * inFeatures).fill(fill),
    b: new Float32Array(outFeatures * rank).fill(2 * fill),
  }))
}

const NO_WISH: Capability = {
  ...{ memoryBytes: 0, cores: 2, kernels: "reference", tokensPerSecond: 100, platform: "test", node: "" },
  ...{ rankMax: 0, precision: "", examples: 0 },
  ...{ freeMemoryBytes: 0, forwardTokensPerSecond: 0, uploadBytesPerSecond: 0, downloadBytesPerSecond: 0 },
  ...{ uploadBytesMax: 0, downloadBytesMax: 0 },
}
