import { once } from "node:events"
import { createServer } from "node:http"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { randomBytes } from "node:crypto"

import type { Identity } from "@lamina/crypto"
import {
  clientIdOf,
  generateRecipientKey,
  hash,
  identityFromSeed,
  leafHash,
  rootOf,
  sign,
  toHex,
  utf8,
} from "@lamina/crypto"
import { LIMITS, errorCodeOfWire, ERRORS, messages } from "@lamina/protocol"
import type {
  Decline,
  ErrorCode,
  OpenSession,
  Plan,
  ReceiptBody,
  RoundHeader,
  TaskOffer,
  UploadOpen,
} from "@lamina/protocol"
import { WebSocketServer } from "ws"
import type { WebSocket } from "ws"

/** First bytes of the messages on the control socket. */
const REQUESTS = ["", "session.open", "round.next", "round.progress", "upload.open", "upload.commit", "round.decline"]
const [REPLY, HINT, CHALLENGE] = [0x80, 0x81, 0x82]

/**
 * The wire of a coordinator written down a second time, from docs/protocol.md alone, with a hook at every place where
 * a coordinator may lie. It keeps everything in memory and knows one run of `rounds` rounds for whoever asks.
 */
export interface WireHooks {
  /** Bytes of a Reply instead of the honest ones; undefined leaves them. */
  reply?: (event: string, honest: Uint8Array) => Uint8Array | undefined
  /** A whole message instead of the one around a reply, text or bytes; undefined leaves it. */
  message?: (event: string, honest: Uint8Array) => Uint8Array | string | undefined
  header?: (honest: RoundHeader) => RoundHeader
  plan?: (honest: Plan) => Plan
  offer?: (honest: TaskOffer) => TaskOffer
  receipt?: (honest: ReceiptBody) => ReceiptBody
  receiptSignature?: (honest: Uint8Array) => Uint8Array
  /** Refuses a request with a code before it is looked at. */
  refuse?: (event: string) => ErrorCode | undefined
  /** True: the request was answered here. */
  http?: (request: IncomingMessage, response: ServerResponse) => boolean
  /** The signer of everything, where it is not the one of the challenge. */
  signer?: Identity
}

export interface WireOptions {
  readonly rounds?: number
  readonly seed?: number
  readonly port?: number
  readonly hooks?: WireHooks
  readonly plan?: Partial<Plan>
  readonly base?: Readonly<Record<string, Uint8Array>>
  /** Bytes of the global adapter of round 1. */
  readonly globalAdapter?: Uint8Array
}

interface Upload {
  readonly open: UploadOpen
  readonly root: Uint8Array
  readonly clientId: Uint8Array
  readonly chunks: Map<number, Uint8Array>
}

export const FEDERATION = hash(utf8("a federation"))
const DEFAULT_BASE = {
  "config.json": utf8("{}"),
  "weights/model.safetensors": Uint8Array.from({ length: 100_000 }, (_, i) => i % 251),
}

export class WireServer {
  readonly identity: Identity
  readonly hooks: WireHooks
  /** What came, in order: event or "METHOD path". */
  readonly requests: string[] = []
  /** Roots committed, by "client id/round". */
  readonly commits = new Map<string, string[]>()
  readonly uploads = new Map<string, Upload>()
  /** Sessions that were asked for, in order. */
  readonly sessions: OpenSession[] = []
  readonly declines: Decline[] = []
  readonly ranges: (string | undefined)[] = []
  readonly recipient = generateRecipientKey()
  readonly manifest: Uint8Array
  url = ""
  readonly #base: Readonly<Record<string, Uint8Array>>
  readonly #options: WireOptions
  readonly #http = createServer((request, response) => this.#serve(request, response))
  readonly #sockets: WebSocketServer
  readonly #tokens = new Set<string>()
  #lastHeader: Uint8Array = new Uint8Array(32)

  constructor(options: WireOptions = {}) {
    this.#options = options
    this.hooks = options.hooks ?? {}
    this.identity = identityFromSeed(new Uint8Array(32).fill(options.seed ?? 1))
    this.#base = options.base ?? DEFAULT_BASE
    const files = Object.entries(this.#base).map(([path, bytes]) => ({
      path,
      bytes: bytes.byteLength,
      hash: hash(bytes),
    }))
    this.manifest = messages.BaseManifest.encode({ name: "tiny", files })
    this.#sockets = new WebSocketServer({ server: this.#http, path: "/v1/socket", maxPayload: 500_000 })
    this.#sockets.on("connection", (socket) => this.#attend(socket))
  }

  async start(): Promise<this> {
    this.#http.listen(this.#options.port ?? 0, "127.0.0.1")
    await once(this.#http, "listening")
    this.url = `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`
    return this
  }

  async stop(): Promise<void> {
    this.cut()
    this.#http.closeAllConnections()
    this.#http.close()
    await once(this.#http, "close")
  }

  hint(): void {
    this.tell(Uint8Array.of(HINT))
  }

  /** A message to everybody, whatever it is. */
  tell(message: Uint8Array): void {
    for (const socket of this.#sockets.clients) socket.send(message)
  }

  /** Cuts every socket, as a network does. */
  cut(): void {
    for (const socket of this.#sockets.clients) socket.terminate()
  }

  forgetTokens(): void {
    this.#tokens.clear()
  }

  #attend(socket: WebSocket): void {
    const challenge = messages.Challenge.encode({
      nonce: randomBytes(32),
      federationId: FEDERATION,
      coordinatorKey: this.identity.publicKey,
      software: "wire",
    })
    socket.send(Buffer.concat([Uint8Array.of(CHALLENGE), challenge]))
    const state: { clientId: Uint8Array } = { clientId: new Uint8Array(16) }
    const works = new Map<string, (frame: Uint8Array) => Uint8Array>()
    const answer = (event: string, work: (frame: Uint8Array) => Uint8Array): void => void works.set(event, work)
    socket.on("message", (message: Buffer) => {
      const event = REQUESTS[message[0]!]!
      this.requests.push(event)
      const code = this.hooks.refuse?.(event)
      const frame = new Uint8Array(message.subarray(5))
      const honest = code ? failure(code) : messages.Reply.encode({ ok: works.get(event)!(frame) })
      const reply = Buffer.concat([
        Uint8Array.of(REPLY),
        message.subarray(1, 5),
        this.hooks.reply?.(event, honest) ?? honest,
      ])
      socket.send(this.hooks.message?.(event, reply) ?? reply)
    })
    answer("session.open", (payload) => {
      const token = randomBytes(32).toString("hex")
      this.#tokens.add(token)
      const session = messages.OpenSession.decode(payload)
      this.sessions.push(session)
      state.clientId = clientIdOf(session.publicKey)
      return messages.Session.encode({ clientId: state.clientId, token, serverTimeMs: Date.now() })
    })
    answer("round.next", (payload) => this.#next(messages.NextTask.decode(payload), state.clientId))
    answer("round.progress", () => messages.Progress && messages.Ack.encode({}))
    answer("round.decline", (payload) => {
      this.declines.push(messages.Decline.decode(payload))
      return messages.Ack.encode({})
    })
    answer("upload.open", (payload) => this.#open(messages.UploadOpen.decode(payload), state.clientId))
    answer("upload.commit", (payload) => this.#commit(messages.UploadCommit.decode(payload).uploadId))
  }

  #next({ runId, afterRound }: { runId: string; afterRound: number }, clientId: Uint8Array): Uint8Array {
    const { rounds = 1, globalAdapter } = this.#options
    if (runId !== "" && afterRound >= rounds)
      return messages.NextTaskReply.encode({
        ended: { runId: "run-1", state: "done", globalAdapterHash: new Uint8Array(0) },
      })
    if (afterRound >= rounds) return messages.NextTaskReply.encode({ wait: { retryAfterMs: 50, reason: "no run" } })
    const honest: RoundHeader = {
      version: 1,
      federationId: FEDERATION,
      runId: "run-1",
      round: afterRound + 1,
      mode: "open",
      baseHash: hash(this.manifest),
      globalAdapterHash: globalAdapter ? hash(globalAdapter) : new Uint8Array(0),
      recipeHash: hash(utf8("recipe")),
      cohortRoot: hash(utf8("cohort")),
      previousHeaderHash: this.#lastHeader,
      weightRule: "tokens",
      softDeadlineMs: Date.now() + 60_000,
      hardDeadlineMs: Date.now() + 60_000,
      recipientKey: this.recipient.publicKey,
      strategy: "flora",
      seed: 0,
    }
    const header = messages.RoundHeader.encode(this.hooks.header?.(honest) ?? honest)
    this.#lastHeader = hash(header)
    const plan = messages.Plan.encode(this.hooks.plan?.(this.#plan(afterRound + 1)) ?? this.#plan(afterRound + 1))
    const signer = this.hooks.signer ?? this.identity
    const offer: TaskOffer = {
      header,
      headerSignature: sign(signer, "lamina/v1/header", header),
      plan,
      planSignature: sign(signer, "lamina/v1/plan", hash(header), clientId, plan),
      runId: "run-1",
    }
    return messages.NextTaskReply.encode({ task: this.hooks.offer?.(offer) ?? offer })
  }

  #plan(round: number): Plan {
    return {
      // 2 x (8 x 4096 + 4096 x 8) x 4 bytes = 512 KiB: three chunks with what is around it
      modules: ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"].map((name) => {
        return { name, outFeatures: 4096, inFeatures: 4096, rank: 8, alpha: 16, startRank: 0 }
      }),
      ...({ scaling: "lora", precision: "f32", schedule: "constant", lossOn: "all" } as const),
      ...{ dropout: 0, steps: 3, batch: 1, context: 8, accumulate: 1, learningRate: 1e-3, warmupSteps: 0, clipNorm: 1 },
      ...{
        weightDecay: 0,
        seed: round,
        downloadBytesMax: 0,
        proximal: 0,
        gradientCheckpointing: false,
        initSeed: round,
        freezeA: false,
        globalAdapterHash: new Uint8Array(0),
        reportScores: false,
        mergeGlobal: false,
        ...this.#options.plan,
      },
    }
  }

  #open(open: UploadOpen, clientId: Uint8Array): Uint8Array {
    const root = rootOf(open.leaves)
    const uploadId = toHex(root)
    const upload = this.uploads.get(uploadId) ?? { open, root, clientId, chunks: new Map<number, Uint8Array>() }
    this.uploads.set(uploadId, upload)
    const have = new Uint8Array(Math.ceil(open.leaves.length / 8))
    for (const i of upload.chunks.keys()) have[i >> 3] = (have[i >> 3] ?? 0) | (1 << (i & 7))
    return messages.UploadTicket.encode({ uploadId, have, window: LIMITS.uploadWindow })
  }

  #commit(uploadId: string): Uint8Array {
    const upload = this.uploads.get(uploadId)
    if (!upload || upload.chunks.size !== upload.open.leaves.length) throw new Error("a commit of an incomplete upload")
    const key = `${toHex(upload.clientId)}/${upload.open.round}`
    const known = this.commits.get(key) ?? []
    this.commits.set(key, [...known, uploadId])
    const honest: ReceiptBody = {
      status: known.length > 0 ? "DUPLICATE" : "ACCEPTED",
      code: 0,
      sequence: 42,
      roundHeaderHash: messages.EnvelopeHeader.decode(upload.open.header).roundHeaderHash,
      envelopeRoot: upload.root,
      clientId: upload.clientId,
    }
    const body = messages.ReceiptBody.encode(this.hooks.receipt?.(honest) ?? honest)
    setImmediate(() => this.hint()) // everybody of the cohort has answered: the next round opens, or the run ends
    const signature = sign(this.hooks.signer ?? this.identity, "lamina/v1/receipt", body)
    return messages.Receipt.encode({ body, signature: this.hooks.receiptSignature?.(signature) ?? signature })
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push(`${request.method} ${request.url}`)
    if (this.hooks.http?.(request, response)) return
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1] ?? ""
    if (!this.#tokens.has(token)) return json(response, 401, { code: "SESSION_EXPIRED", message: "unknown token" })
    const [, , kind, id, , index] = (request.url ?? "").split("/")
    if (request.method === "PUT" && kind === "uploads")
      return void this.#chunk(request, response, { id: id ?? "", i: Number(index) })
    const blobs = [this.manifest, ...Object.values(this.#base), this.#options.globalAdapter ?? new Uint8Array(0)]
    const blob = blobs.find((bytes) => toHex(hash(bytes)) === id)
    if (!blob) return json(response, 404, { code: "NOT_FOUND", message: `no ${kind} ${id}` })
    this.ranges.push(request.headers.range)
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0)
    const headers = {
      "content-length": blob.byteLength - from,
      "content-range": `bytes ${from}-${blob.byteLength - 1}/${blob.byteLength}`,
    }
    response.writeHead(from > 0 ? 206 : 200, headers).end(blob.subarray(from))
  }

  async #chunk(
    request: IncomingMessage,
    response: ServerResponse,
    { id, i }: { id: string; i: number },
  ): Promise<void> {
    const upload = this.uploads.get(id)
    if (!upload) return json(response, 404, { code: "NOT_FOUND", message: "no such upload" })
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const body = new Uint8Array(Buffer.concat(parts))
    for (let at = 0, index = i; at < body.length; at += LIMITS.chunkBytes, index++) {
      const chunk = body.subarray(at, at + LIMITS.chunkBytes)
      if (toHex(leafHash(chunk)) !== toHex(upload.open.leaves[index] ?? new Uint8Array(0)))
        return json(response, 409, { code: "CHUNK_MISMATCH", message: `chunk ${index}` })
      upload.chunks.set(index, chunk)
    }
    response.writeHead(204).end()
  }
}

function json(response: ServerResponse, status: number, body: { code: ErrorCode; message: string }): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))
}

function failure(code: ErrorCode): Uint8Array {
  const { wire } = ERRORS[code]
  return messages.Reply.encode({
    failure: { code: wire, message: `refused: ${errorCodeOfWire(wire)}`, retryAfterMs: 10 },
  })
}
