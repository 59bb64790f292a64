import type { INestApplicationContext } from "@nestjs/common"
import { IoAdapter } from "@nestjs/platform-socket.io"
import { Server } from "socket.io"
import { WebSocketServer } from "ws"
import type { ServerOptions as WsOptions } from "ws"

import { LIMITS } from "@lamina/protocol"

/**
 * Room above a frame for socket.io's own packet around it, and for frames that are a little too large: those are
 * answered with FRAME_TOO_LARGE, anything larger ends the connection before it is in memory.
 */
const ABOVE_FRAME_BYTES = 64 * 1024

/** ws with bounds that socket.io does not pass on: 0.9 MB of one-byte fragments would pin 15 MiB. */
class BoundedWebSocketServer extends WebSocketServer {
  constructor(options: WsOptions) {
    super({ ...options, maxFragments: 64, maxBufferedChunks: 1_024 } as WsOptions)
  }
}

/** socket.io over websocket only, with the limits of the protocol. */
export class BoundedIoAdapter extends IoAdapter {
  constructor(app: INestApplicationContext) {
    super(app)
  }

  override createIOServer(): ReturnType<IoAdapter["createIOServer"]> {
    const server = new Server(this.httpServer, {
      path: "/v1/socket",
      transports: ["websocket"],
      serveClient: false,
      maxHttpBufferSize: LIMITS.frameBytesMax + ABOVE_FRAME_BYTES,
      perMessageDeflate: false,
      wsEngine: BoundedWebSocketServer,
      cors: { origin: false },
    } as ConstructorParameters<typeof Server>[1])
    // Nest carries a socket.io of its own, one patch release older; the two have one interface
    return server as unknown as ReturnType<IoAdapter["createIOServer"]>
  }
}
