import { Inject } from "@nestjs/common"
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway, WebSocketServer } from "@nestjs/websockets"
import type { OnGatewayConnection, OnGatewayDisconnect, OnGatewayInit } from "@nestjs/websockets"
import type { Logger } from "pino"
import type { Server, Socket } from "socket.io"

import { LaminaError } from "@lamina/protocol/errors"
import { messages } from "@lamina/protocol"

import type { Config } from "../config.js"
import type { Coordinator } from "../coordinator/coordinator.js"
import type { Metrics } from "../metrics.js"
import { frameOf, reply } from "./reply.js"
import { CONFIG, COORDINATOR, LOGGER, METRICS } from "./tokens.js"

/** What this edge knows of a connection. */
interface SocketState {
  nonce?: Uint8Array
  clientId?: string
}
type ClientSocket = Socket<Record<string, never>, { hint: () => void }, Record<string, never>, SocketState>

/** The socket edge: decode, ask the coordinator, answer. No rule of a round lives here. */
@WebSocketGateway()
export class SocketGateway implements OnGatewayInit, OnGatewayConnection, OnGatewayDisconnect {
  @WebSocketServer() private readonly server!: Server

  constructor(
    @Inject(COORDINATOR) private readonly coordinator: Coordinator,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(METRICS) private readonly metrics: Metrics,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  afterInit(): void {
    this.coordinator.events.onHint(() => this.server.emit("hint"))
  }

  /** Sockets that say nothing cost memory: each has a while to open a session. */
  handleConnection(socket: ClientSocket): void {
    const timer = setTimeout(() => {
      if (socket.data.clientId === undefined) socket.disconnect(true)
    }, this.config.sessionMs)
    timer.unref()
    socket.once("disconnect", () => clearTimeout(timer))
  }

  handleDisconnect(socket: ClientSocket): void {
    if (socket.data.clientId !== undefined) this.coordinator.sessions.leave(socket.data.clientId, socket.id)
  }

  @SubscribeMessage("session.challenge")
  challenge(@ConnectedSocket() socket: ClientSocket, @MessageBody() payload: unknown): Promise<Uint8Array> {
    return this.answer("session.challenge", async () => {
      const challenge = this.coordinator.sessions.challenge(messages.Hello.decode(frameOf(payload)))
      socket.data.nonce = challenge.nonce
      return messages.Challenge.encode(challenge)
    })
  }

  @SubscribeMessage("session.open")
  open(@ConnectedSocket() socket: ClientSocket, @MessageBody() payload: unknown): Promise<Uint8Array> {
    return this.answer("session.open", async () => {
      const request = messages.OpenSession.decode(frameOf(payload))
      const { nonce } = socket.data
      if (!nonce) throw new LaminaError("SESSION_REJECTED", "expected session.challenge before session.open")
      delete socket.data.nonce // a nonce is good for one attempt
      const { clientId, session } = await this.coordinator.sessions.open(request, { nonce, socketId: socket.id })
      const former = socket.data.clientId // another request of this socket may have come in between
      if (former !== undefined && former !== clientId) this.coordinator.sessions.leave(former, socket.id)
      socket.data.clientId = clientId
      if (!socket.connected) this.coordinator.sessions.leave(clientId, socket.id)
      return messages.Session.encode(session)
    })
  }

  @SubscribeMessage("round.next")
  next(@ConnectedSocket() socket: ClientSocket, @MessageBody() payload: unknown): Promise<Uint8Array> {
    return this.answer("round.next", async () => {
      const request = messages.NextTask.decode(frameOf(payload))
      return messages.NextTaskReply.encode(await this.coordinator.nextTask(clientOf(socket), request))
    })
  }

  @SubscribeMessage("round.progress")
  progress(@ConnectedSocket() socket: ClientSocket, @MessageBody() payload: unknown): Promise<Uint8Array> {
    return this.answer("round.progress", async () => {
      this.coordinator.progress(clientOf(socket), messages.Progress.decode(frameOf(payload)))
      return messages.Ack.encode({})
    })
  }

  @SubscribeMessage("upload.open")
  openUpload(@ConnectedSocket() socket: ClientSocket, @MessageBody() payload: unknown): Promise<Uint8Array> {
    return this.answer("upload.open", async () => {
      const request = messages.UploadOpen.decode(frameOf(payload))
      return messages.UploadTicket.encode(await this.coordinator.openUpload(clientOf(socket), request))
    })
  }

  @SubscribeMessage("upload.commit")
  commit(@ConnectedSocket() socket: ClientSocket, @MessageBody() payload: unknown): Promise<Uint8Array> {
    return this.answer("upload.commit", async () => {
      const request = messages.UploadCommit.decode(frameOf(payload))
      return messages.Receipt.encode(await this.coordinator.commitUpload(clientOf(socket), request))
    })
  }

  private answer(event: string, work: () => Promise<Uint8Array>): Promise<Uint8Array> {
    return this.metrics.timed(event, () => reply(work, this.logger))
  }
}

function clientOf(socket: ClientSocket): string {
  const { clientId } = socket.data
  if (clientId === undefined)
    throw new LaminaError("SESSION_EXPIRED", "expected an open session on this socket, got none")
  return clientId
}
