import { LIMITS } from "@lamina/protocol"
import type { Socket } from "socket.io-client"
import { Manager } from "socket.io-client"

import type { Answer, RequestName, Requests } from "./requests.js"
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
  /** Resolves when the connection is lost or closed, with the reason. */
  readonly lost: Promise<string>
  close(): void
}

export interface LinkOptions {
  readonly url: URL
  readonly requestTimeoutMs: number
  readonly onHint: () => void
}

/** WebSocket only, no compression (sealed bytes do not compress), and no frame larger than a Reply may be. */
export async function connectLink(options: LinkOptions, signal: AbortSignal): Promise<Link> {
  signal.throwIfAborted()
  const { url, requestTimeoutMs } = options
  // the same slack over a frame as the coordinator allows for socket.io's own wrapping
  const websocket = { maxPayload: LIMITS.frameBytesMax + 16 * 1024, perMessageDeflate: false }
  const manager = new Manager(url.origin, {
    path: `${url.pathname.replace(/\/+$/, "")}/v1/socket`,
    transports: ["websocket"],
    reconnection: false,
    autoConnect: false,
    timeout: requestTimeoutMs,
    transportOptions: { websocket },
  })
  const socket = manager.socket("/")
  await connected(socket, manager, signal)
  const lost = new Promise<string>((resolve) => socket.once("disconnect", (reason) => resolve(reason)))
  socket.on("hint", options.onHint)
  return {
    lost,
    close: () => socket.disconnect(),
    request: async (name, request) => {
      const frame = encodeRequest(name, request)
      // a packet given to a closed socket would wait in its buffer for a connection that never comes
      if (!socket.connected) throw new TransportError(`${name}: not connected`)
      let reply: unknown
      try {
        reply = await socket.timeout(requestTimeoutMs).emitWithAck(name, frame)
      } catch (cause) {
        throw new TransportError(`${name}: no answer within ${requestTimeoutMs} ms`, { cause })
      }
      return decodeAnswer(name, reply)
    },
  }
}

function connected(socket: Socket, manager: Manager, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void): void => {
      signal.removeEventListener("abort", abort)
      socket.off("connect", ready)
      socket.off("connect_error", failed)
      settle()
    }
    const ready = (): void => end(resolve)
    const failed = (cause: Error): void =>
      end(() => {
        socket.disconnect()
        reject(new TransportError(`cannot connect: ${reasonOf(cause)}`, { cause }))
      })
    const abort = (): void =>
      end(() => {
        socket.disconnect()
        manager.engine?.close()
        reject(signal.reason)
      })
    socket.once("connect", ready)
    socket.once("connect_error", failed)
    signal.addEventListener("abort", abort, { once: true })
    socket.connect()
  })
}

/** engine.io says "websocket error" and hides the system's word (ECONNREFUSED, ...) one or two levels down. */
function reasonOf(error: unknown): string {
  const described = error as { message?: unknown; description?: { message?: unknown; error?: { message?: unknown } } }
  const words = [described.description?.error?.message, described.description?.message, described.message]
  return String(words.find((word) => typeof word === "string" && word !== "") ?? error)
}
