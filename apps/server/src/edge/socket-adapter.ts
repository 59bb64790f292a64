import type { IncomingMessage, Server } from "node:http"
import type { Duplex } from "node:stream"

import { LaminaError } from "@lamina/protocol/errors"
import { decodeSocketRequest, encodeSocketChallenge, encodeSocketReply, LIMITS, SOCKET_HINT } from "@lamina/protocol"
import type { SocketRequest } from "@lamina/protocol"
import type { INestApplicationContext, WsMessageHandler } from "@nestjs/common"
import { AbstractWsAdapter } from "@nestjs/websockets"
import { WebSocket, WebSocketServer } from "ws"
import type { RawData, ServerOptions } from "ws"

import { refused } from "./reply.js"

/** Status codes of a close, RFC 6455, 7.4.1. */
const CLOSE = { goingAway: 1001, protocolError: 1002, notBinary: 1003, policy: 1008 } as const

/** A closing handshake that takes longer is not waited for. */
const CLOSE_MS = 2_000

/** Requests of one socket that may wait for their replies together: some thousand small ones, ten of the largest. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024
/** What a request takes beside its bytes. */
const REQUEST_BYTES = 4 * 1024
/** Bytes of replies that may wait for a client to read them. */
const UNREAD_BYTES_MAX = 8 * 1024 * 1024

let connections = 0

/** One connection of a client. */
export class ControlSocket extends WebSocket {
  readonly id = String(connections++)
  /** Good for one attempt to open a session. */
  nonce: Uint8Array | undefined
  clientId: string | undefined
  /** Answered the last ping. */
  alive = true
  /** Bytes of requests that wait for their replies. */
  waitingBytes = 0

  challenge(frame: Uint8Array): void {
    this.send(encodeSocketChallenge(frame))
  }

  hint(): void {
    this.send(SOCKET_HINT)
  }

  /** For a client that does not do its part. */
  expel(reason: string): void {
    this.close(CLOSE.policy, reason)
  }
}

export type ControlServer = InstanceType<typeof WebSocketServer<typeof ControlSocket>>

/** With what the types of `ws` do not know yet. */
type Options = ServerOptions<typeof ControlSocket> & { readonly closeTimeout: number }

/** The control socket under Nest's gateways: requests in, replies and hints out (docs/protocol.md, "Transport"). */
export class SocketAdapter extends AbstractWsAdapter {
  #heartbeat: NodeJS.Timeout | undefined

  constructor(
    app: INestApplicationContext | Server,
    private readonly heartbeatMs: number = LIMITS.heartbeatMs,
  ) {
    super(app)
  }

  override create(): ControlServer {
    const options: Options = {
      ...{ noServer: true, path: "/v1/socket", WebSocket: ControlSocket },
      maxPayload: LIMITS.frameBytesMax + LIMITS.aboveFrameBytes,
      ...{ perMessageDeflate: false, closeTimeout: CLOSE_MS },
      // 0.9 MB of one-byte fragments would pin 15 MiB
      ...{ maxFragments: 64, maxBufferedChunks: 1_024 },
    }
    const server = new WebSocketServer(options)
    ;(this.httpServer as Server).on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.cork() // the challenge goes along with the answer to the upgrade
      server.handleUpgrade(request, socket, head, (client) => server.emit("connection", client, request))
      socket.uncork()
    })
    this.#heartbeat = setInterval(() => server.clients.forEach(ping), this.heartbeatMs).unref()
    return server
  }

  override bindClientConnect(server: ControlServer, connected: (client: ControlSocket) => void): void {
    server.on("connection", (client) => {
      client.on("error", () => undefined) // bytes that are no WebSocket's, or too many: `ws` ends the connection
      client.on("pong", () => (client.alive = true))
      client.on("ping", () => endUnread(client)) // each is answered by itself
      connected(client)
    })
  }

  override bindClientDisconnect(client: ControlSocket, gone: () => void): void {
    client.once("close", gone)
  }

  override bindMessageHandlers(client: ControlSocket, handlers: readonly WsMessageHandler<string>[]): void {
    const byName = new Map(handlers.map(({ message, callback }) => [message, callback]))
    client.on("message", (data: RawData, isBinary: boolean) => {
      if (client.readyState !== WebSocket.OPEN) return // of a client that is being let go
      if (!isBinary || !(data instanceof Uint8Array)) return client.close(CLOSE.notBinary, "expected binary messages")
      let request: SocketRequest
      try {
        request = decodeSocketRequest(data)
      } catch (error) {
        return client.close(CLOSE.protocolError, (error as Error).message)
      }
      const bytes = data.byteLength + REQUEST_BYTES
      if (client.waitingBytes + bytes > WAITING_BYTES_MAX) return client.expel("expected fewer requests at once")
      const { name = "", id, frame } = request
      client.waitingBytes += bytes
      const answer = (byName.get(name)?.(frame) ?? UNKNOWN) as Promise<Uint8Array>
      const answered = answer.then((reply) => {
        client.waitingBytes -= bytes
        send(client, id, reply)
      })
      answered.catch(() => client.terminate()) // no handler fails, nor leaves its request without a reply
    })
  }

  override async close(server: ControlServer): Promise<void> {
    clearInterval(this.#heartbeat)
    const closed = super.close(server) // nobody comes any more
    for (const client of server.clients) client.close(CLOSE.goingAway, "the coordinator stops")
    // `ws` waits for those that hung up themselves and leave unread what they were sent
    const late = setTimeout(() => server.clients.forEach((client) => client.terminate()), CLOSE_MS)
    await closed
    clearTimeout(late)
  }
}

/** Who did not answer the last one is gone. */
function ping(client: ControlSocket): void {
  if (!client.alive) return client.terminate()
  client.alive = false
  client.ping()
}

function send(client: ControlSocket, id: number, reply: Uint8Array): void {
  if (client.readyState !== WebSocket.OPEN) return
  client.send(encodeSocketReply(id, reply))
  endUnread(client)
}

function endUnread(client: ControlSocket): void {
  if (client.bufferedAmount > UNREAD_BYTES_MAX) client.terminate()
}

const UNKNOWN = Promise.resolve(
  refused(new LaminaError("FRAME_MALFORMED", "expected a request of the protocol, got another")),
)
