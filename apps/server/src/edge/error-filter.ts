import { Catch, HttpException, Inject } from "@nestjs/common"
import type { ArgumentsHost, ExceptionFilter } from "@nestjs/common"
import type { FastifyReply, FastifyRequest } from "fastify"
import type { Logger } from "pino"

import { LaminaError, hasErrorCode } from "@lamina/protocol/errors"
import type { ErrorCode } from "@lamina/protocol/errors"

import type { Metrics } from "../metrics.js"
import { LOGGER, METRICS } from "./tokens.js"

const STATUS: Partial<Record<ErrorCode, number>> = {
  FRAME_TOO_LARGE: 413,
  SESSION_REJECTED: 401,
  SESSION_EXPIRED: 401,
  RATE_LIMITED: 429,
  NOT_FOUND: 404,
  RUN_STATE: 409,
  ROUND_MISMATCH: 409,
  ROUND_CLOSED: 409,
  NOT_SELECTED: 409,
  UPLOAD_CONFLICT: 409,
  UPLOAD_INCOMPLETE: 409,
  CHUNK_MISMATCH: 409,
  STORAGE_FULL: 507,
  BLOB_CORRUPT: 500,
  INTERNAL: 500,
}

/** The status of a failure over HTTP; what is not listed is the sender's mistake. */
export function statusOf(code: ErrorCode): number {
  return STATUS[code] ?? 400
}

/** Of a path that is told back. */
const SHOWN_CHARACTERS = 200

/** What fastify refuses before it knows a route, as `frameworkErrors` of its options: paths it does not decode. */
export function refusePath(metrics: Metrics): (error: Error, request: FastifyRequest, reply: FastifyReply) => void {
  return (cause, _request, reply) => {
    const refused = new LaminaError("FRAME_MALFORMED", cause.message.slice(0, SHOWN_CHARACTERS), { cause })
    metrics.countRefusal(refused)
    const { code, message } = refused
    void reply.status(statusOf(code)).send({ code, message })
  }
}

/** Every failure over HTTP is JSON {code, message, hint?}. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(METRICS) private readonly metrics: Metrics,
  ) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp()
    const error = coded(thrown, http.getRequest<FastifyRequest>().headers["content-type"])
    this.metrics.countRefusal(error)
    const code = hasErrorCode(error) ? error.code : "INTERNAL"
    if (statusOf(code) === 500) this.logger.error({ err: thrown }, "an HTTP request failed")
    const body = hasErrorCode(error)
      ? { code, message: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) }
      : { code, message: "the coordinator failed; its log says why" }
    void http.getResponse<FastifyReply>().status(statusOf(code)).send(body)
  }
}

/** What Nest and fastify throw by themselves, in our codes. */
function coded(error: unknown, contentType: string | undefined): unknown {
  if (hasErrorCode(error)) return error
  const status = error instanceof HttpException ? error.getStatus() : fastifyStatus(error)
  if (status === undefined || status >= 500) return error
  const code = CODE[status] ?? "FRAME_MALFORMED"
  const { message } = error as { message: string }
  return new LaminaError(code, status === UNKNOWN_TYPE ? unknownType(contentType) : message, { cause: error })
}

const UNKNOWN_TYPE = 415

/** A run comes as JSON, a chunk as bytes. */
function unknownType(got: string | undefined): string {
  const expected = "application/json or, for chunks, application/octet-stream"
  return `expected a body with content-type: ${expected}, got ${got?.slice(0, 100) ?? "none"}`
}

const CODE: Partial<Record<number, ErrorCode>> = { 401: "SESSION_REJECTED", 404: "NOT_FOUND", 413: "FRAME_TOO_LARGE" }

/** fastify's errors have no class of their own to ask for: they are told by this field. */
function fastifyStatus(error: unknown): number | undefined {
  const { statusCode } = (typeof error === "object" && error !== null ? error : {}) as { statusCode?: unknown }
  return typeof statusCode === "number" ? statusCode : undefined
}
