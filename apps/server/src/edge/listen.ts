import { LaminaError } from "@lamina/protocol/errors"
import "reflect-metadata"

import { Module } from "@nestjs/common"
import type { DynamicModule, LoggerService } from "@nestjs/common"
import { APP_FILTER, NestFactory } from "@nestjs/core"
import { FastifyAdapter } from "@nestjs/platform-fastify"
import type { NestFastifyApplication } from "@nestjs/platform-fastify"
import type { Logger } from "pino"

import type { Config } from "../config.js"
import type { Coordinator } from "../coordinator/coordinator.js"
import type { CoordinatorIdentity } from "../coordinator/identity.js"
import { Access } from "./access.js"
import { BulkController } from "./bulk.controller.js"
import { takeChunkBodies } from "./chunk-bodies.js"
import { ErrorFilter, refusePath } from "./error-filter.js"
import { FederationController } from "./federation.controller.js"
import { HealthController } from "./health.controller.js"
import { serveOpenApi } from "./open-api.js"
import { RunsController } from "./runs.controller.js"
import { SocketAdapter } from "./socket-adapter.js"
import { SocketGateway } from "./socket.gateway.js"
import { ACCESS, CONFIG, COORDINATOR, LOGGER, METRICS } from "./tokens.js"

/** A recipe with 4,096 modules of long names fits. */
const JSON_BYTES_MAX = 4 * 1024 * 1024

/** A request that has not come by then is given up, and its memory with it; Node's own default. */
const REQUEST_MS_MAX = 300_000
/**
 * Connections that may wait for this process to accept them, as far as the system allows (Linux: 4096). All clients of
 * a federation come back at once when it starts; who finds no place tries again after a second, then after three.
 */
const BACKLOG = 65_535

@Module({})
class EdgeModule {}

interface EdgeSetting {
  readonly config: Config
  readonly logger: Logger
  readonly identity: CoordinatorIdentity
}

/** Puts the coordinator on the network: REST, bulk HTTP and the socket on one port. */
export async function listen(
  coordinator: Coordinator,
  { config, logger, identity }: EdgeSetting,
): Promise<{ url: string; port: number; close(): Promise<void> }> {
  const access = new Access(coordinator.sessions, { adminToken: identity.adminToken, joinToken: config.joinToken })
  const adapter = new FastifyAdapter({
    ...{ bodyLimit: JSON_BYTES_MAX, requestTimeout: REQUEST_MS_MAX, forceCloseConnections: true },
    frameworkErrors: refusePath(coordinator.metrics),
    schemaController: { compilersFactory: { buildValidator: noSchema, buildSerializer: noSchema } },
  })
  let isListening = false
  const app = await NestFactory.create<NestFastifyApplication>(
    edgeModule(coordinator, { access, logger, config }),
    adapter,
    {
      logger: nestLogger(logger, () => isListening),
      abortOnError: false,
    },
  )
  app.useWebSocketAdapter(new SocketAdapter(app))
  takeChunkBodies(app.getHttpAdapter().getInstance(), access)
  serveOpenApi(app, config.software)
  const address = { port: config.port, host: config.host, backlog: BACKLOG }
  await app.listen(address).catch(async (cause: NodeJS.ErrnoException) => {
    await app.close()
    throw cannotListen(config, cause)
  })
  isListening = true
  const { port } = app.getHttpServer().address() as { port: number }
  const host = config.host.includes(":") ? `[${config.host}]` : config.host
  return { url: `http://${host}:${port}`, port, close: () => app.close() }
}

/** Fastify loads its compilers for JSON schemas at every start, a third of it, unless told of others. */
function noSchema(): never {
  throw new Error("expected routes without a JSON schema: zod parses what comes")
}

function cannotListen({ host, port }: Config, cause: NodeJS.ErrnoException): LaminaError {
  const why: Readonly<Record<string, string>> = {
    EADDRINUSE: "the port is in use",
    EACCES: "this user may not use the port",
    EADDRNOTAVAIL: "this machine has no such address",
  }
  const reason = why[cause.code ?? ""] ?? cause.code ?? cause.message
  const hint = "choose another port or host; port 0 takes a free one"
  return new LaminaError("USAGE", `cannot listen on ${host}, port ${port}: ${reason}`, { cause, hint })
}

function edgeModule(
  coordinator: Coordinator,
  { access, logger, config }: { access: Access; logger: Logger; config: Config },
): DynamicModule {
  return {
    module: EdgeModule,
    controllers: [BulkController, FederationController, HealthController, RunsController],
    providers: [
      SocketGateway,
      { provide: COORDINATOR, useValue: coordinator },
      { provide: ACCESS, useValue: access },
      { provide: LOGGER, useValue: logger },
      { provide: CONFIG, useValue: config },
      { provide: METRICS, useValue: coordinator.metrics },
      { provide: APP_FILTER, useClass: ErrorFilter },
    ],
  }
}

/** Nest's own lines, at a level below ours. Until it listens, what it calls an error is thrown as well. */
function nestLogger(logger: Logger, isListening: () => boolean): LoggerService {
  return {
    log: (message: unknown) => logger.debug({ nest: message }),
    error: (message: unknown) => logger[isListening() ? "error" : "debug"]({ nest: message }),
    warn: (message: unknown) => logger.warn({ nest: message }),
    debug: (message: unknown) => logger.trace({ nest: message }),
    verbose: (message: unknown) => logger.trace({ nest: message }),
    fatal: (message: unknown) => logger.fatal({ nest: message }),
  }
}
