import { Inject } from "@nestjs/common"
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway, WebSocketServer } from "@nestjs/websockets"
import type { OnGatewayConnection, OnGatewayDisconnect, OnGatewayInit } from "@nestjs/websockets"
import type { Logger } from "pino"

import { LaminaError } from "@lamina/protocol/errors"
import { messages } from "@lamina/protocol"

import type { Config } from "../config.js"
import type { Coordinator } from "../coordinator/coordinator.js"
import type { Metrics } from "../metrics.js"
import { reply } from "./reply.js"
import type { ControlServer, ControlSocket } from "./socket-adapter.js"
import { CONFIG, COORDINATOR, LOGGER, METRICS } from "./tokens.js"

/** The socket edge: decode, ask the coordinator, answer. No rule of a round lives here. */
@WebSocketGateway()
export class SocketGateway implements OnGatewayInit, OnGatewayConnection, OnGatewayDisconnect {
  @WebSocketServer() private readonly server!: ControlServer

  constructor(
    @Inject(COORDINATOR) private readonly coordinator: Coordinator,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(METRICS) private readonly metrics: Metrics,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  afterInit(): void {
    this.coordinator.events.onHint(() => this.server.clients.forEach((socket) => socket.hint()))
  }

  /** The challenge comes unasked. Sockets that say nothing cost memory: each has a while to open a session. */
  handleConnection(socket: ControlSocket): void {
    const challenge = this.coordinator.sessions.challenge()
    socket.nonce = challenge.nonce
    socket.challenge(messages.Challenge.encode(challenge))
    const timer = setTimeout(() => {
      if (socket.clientId === undefined) socket.expel("expected a session in time")
    }, this.config.sessionMs)
    timer.unref()
    socket.once("close", () => clearTimeout(timer))
  }

  handleDisconnect(socket: ControlSocket): void {
    if (socket.clientId !== undefined) this.coordinator.sessions.leave(socket.clientId, socket.id)
  }

  @SubscribeMessage("session.open")
  open(@ConnectedSocket() socket: ControlSocket, @MessageBody() frame: Uint8Array): Promise<Uint8Array> {
    return this.answer("session.open", async () => {
      const request = messages.OpenSession.decode(frame)
      const { nonce } = socket
      if (!nonce) throw new LaminaError("SESSION_REJECTED", "expected one attempt to open a session on this socket")
      socket.nonce = undefined
      const { clientId, session } = await this.coordinator.sessions.open(request, { nonce, socketId: socket.id })
      socket.clientId = clientId
      if (socket.readyState !== socket.OPEN) this.coordinator.sessions.leave(clientId, socket.id)
      return messages.Session.encode(session)
    })
  }

  @SubscribeMessage("round.next")
  next(@ConnectedSocket() socket: ControlSocket, @MessageBody() frame: Uint8Array): Promise<Uint8Array> {
    return this.answer("round.next", async () => {
      const request = messages.NextTask.decode(frame)
      return messages.NextTaskReply.encode(await this.coordinator.nextTask(clientOf(socket), request))
    })
  }

  @SubscribeMessage("round.progress")
  progress(@ConnectedSocket() socket: ControlSocket, @MessageBody() frame: Uint8Array): Promise<Uint8Array> {
    return this.answer("round.progress", async () => {
      this.coordinator.progress(clientOf(socket), messages.Progress.decode(frame))
      return messages.Ack.encode({})
    })
  }

  @SubscribeMessage("round.decline")
  decline(@ConnectedSocket() socket: ControlSocket, @MessageBody() frame: Uint8Array): Promise<Uint8Array> {
    return this.answer("round.decline", async () => {
      await this.coordinator.decline(clientOf(socket), messages.Decline.decode(frame))
      return messages.Ack.encode({})
    })
  }

  @SubscribeMessage("upload.open")
  openUpload(@ConnectedSocket() socket: ControlSocket, @MessageBody() frame: Uint8Array): Promise<Uint8Array> {
    return this.answer("upload.open", async () => {
      const request = messages.UploadOpen.decode(frame)
      return messages.UploadTicket.encode(await this.coordinator.openUpload(clientOf(socket), request))
    })
  }

  @SubscribeMessage("upload.commit")
  commit(@ConnectedSocket() socket: ControlSocket, @MessageBody() frame: Uint8Array): Promise<Uint8Array> {
    return this.answer("upload.commit", async () => {
      const request = messages.UploadCommit.decode(frame)
      return messages.Receipt.encode(await this.coordinator.commitUpload(clientOf(socket), request))
    })
  }

  private answer(event: string, work: () => Promise<Uint8Array>): Promise<Uint8Array> {
    return this.metrics.timed(event, () => reply(work, this.logger))
  }
}

function clientOf(socket: ControlSocket): string {
  const { clientId } = socket
  if (clientId === undefined)
    throw new LaminaError("SESSION_EXPIRED", "expected an open session on this socket, got none")
  return clientId
}
