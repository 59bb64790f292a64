import { decodeSocketAnswer, encodeSocketRequest, LaminaError, LIMITS, messages } from "@lamina/protocol"
import type { Challenge, RequestName } from "@lamina/protocol"
import { WebSocket } from "ws"
import type { ClientOptions, RawData } from "ws"

import { onAbort } from "../timing.js"
import type { Answer, Requests } from "./requests.js"
import { decodeAnswer, encodeRequest } from "./requests.js"

/**
 * The connection failed, or no answer came in time. Always worth another attempt; never leaves the package as it is.
 */
export class TransportError extends Error {
  override readonly name = "TransportError"

  /** Of an answer that no coordinator gave. */
  readonly status: number | undefined

  constructor(message: string, { status, ...options }: ErrorOptions & { readonly status?: number } = {}) {
    super(message, options)
    this.status = status
  }
}

/** One socket, from its connection to its loss. It never connects again: Session makes the next one. */
export interface Link {
  request<K extends RequestName>(name: K, request: Requests[K]["request"]): Promise<Answer<Requests[K]["answer"]>>
  /** The coordinator's first message. */
  readonly challenge: Promise<Challenge>
  /** Resolves when the connection is lost or closed, with the reason. */
  readonly lost: Promise<string>
  close(): void
}

export interface LinkOptions {
  readonly url: URL
  readonly requestTimeoutMs: number
  readonly onHint: () => void
  /** ms without a sign of life from the coordinator until the connection counts as lost. Default: two heartbeats. */
  readonly silenceMs?: number
}

/** How long a closing handshake may take: nothing that matters comes any more. */
const CLOSE_MS = 1_000
/** With what the types of `ws` do not know yet. */
type Settings = ClientOptions & { readonly closeTimeout: number }

/** Of RFC 6455, 7.4.1. */
const PROTOCOL_ERROR = 1002

/** No compression (sealed bytes do not compress), and no message larger than a Reply may be. */
export async function connectLink(options: LinkOptions, signal: AbortSignal): Promise<Link> {
  signal.throwIfAborted()
  const { url, requestTimeoutMs } = options
  const address = new URL(url)
  address.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/socket`
  address.protocol = url.protocol === "https:" ? "wss:" : "ws:"
  const settings: Settings = {
    maxPayload: LIMITS.frameBytesMax + LIMITS.aboveFrameBytes,
    perMessageDeflate: false,
    handshakeTimeout: requestTimeoutMs,
    closeTimeout: CLOSE_MS,
  }
  const socket = new WebSocket(address, settings)
  const link = linkOver(socket, options) // what comes right behind the handshake is listened to
  link.challenge.catch(() => undefined) // whoever waits for it is told
  await connected(socket, signal)
  return link
}

function connected(socket: WebSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const forget = onAbort(signal, () => {
      reject(signal.reason)
      socket.terminate()
    })
    socket.on("error", (cause) => {
      forget()
      reject(new TransportError(`cannot connect: ${reasonOf(cause)}`, { cause }))
    })
    socket.once("open", () => {
      forget()
      resolve()
    })
  })
}

/** Where the system tried several addresses of a name, its words are one level down. */
function reasonOf(error: Error): string {
  const errors = error instanceof AggregateError ? (error.errors as Error[]) : [error]
  return errors.map(({ message }) => message).join(", ")
}

interface Waiting {
  readonly came: (frame: Uint8Array) => void
  readonly failed: (error: unknown) => void
}

/** Requests and their replies over an open socket. */
function linkOver(socket: WebSocket, options: LinkOptions): Link {
  const { requestTimeoutMs, onHint, silenceMs = 2 * LIMITS.heartbeatMs } = options
  const waiting = new Map<number | "challenge", Waiting>()
  let asked = 0
  let end: (reason: string) => void = () => undefined
  const lost = new Promise<string>((resolve) => (end = resolve))
  const finish = (reason: string, error: unknown): void => {
    clearTimeout(silence)
    end(reason)
    for (const { failed } of waiting.values()) failed(error)
  }
  /** The frame that comes for `key`, or TransportError where it does not come in time. */
  const awaited = async (key: number | "challenge", what: string): Promise<Uint8Array> => {
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<Uint8Array>((came, failed) => {
        const late = (): void => failed(new TransportError(`${what}: no answer within ${requestTimeoutMs} ms`))
        timer = setTimeout(late, requestTimeoutMs)
        waiting.set(key, { came, failed })
      })
    } finally {
      clearTimeout(timer)
      waiting.delete(key)
    }
  }
  const silence = setTimeout(() => socket.terminate(), silenceMs)
  socket.on("ping", () => silence.refresh())
  socket.on("message", (data, isBinary) => {
    if (socket.readyState !== WebSocket.OPEN) return
    try {
      const answer = decodeSocketAnswer(binary(data, isBinary))
      if (answer?.kind === "hint") onHint()
      else if (answer) waiting.get(answer.kind === "reply" ? answer.id : "challenge")?.came(answer.frame)
    } catch (error) {
      finish("malformed message", error)
      socket.close(PROTOCOL_ERROR)
    }
  })
  socket.once("close", (code, reason) => {
    const why = reason.toString().replaceAll(/\p{Cc}/gu, "") || `closed with ${code}`
    finish(why, new TransportError(`the connection is lost: ${why}`))
  })
  return {
    lost,
    challenge: awaited("challenge", "challenge").then((frame) => messages.Challenge.decode(frame)),
    close: () => {
      finish("closed", new TransportError("the connection is closed"))
      socket.close()
    },
    request: async (name, request) => {
      const frame = encodeRequest(name, request)
      if (socket.readyState !== WebSocket.OPEN) throw new TransportError(`${name}: not connected`)
      const id = asked++
      const reply = awaited(id, name)
      socket.send(encodeSocketRequest(name, id, frame))
      return decodeAnswer(name, await reply)
    },
  }
}

function binary(data: RawData, isBinary: boolean): Uint8Array {
  if (isBinary && data instanceof Uint8Array) return data
  throw new LaminaError("FRAME_MALFORMED", "socket: expected binary messages, got text")
}
