import type { Dispatcher } from "undici"
import { Pool } from "undici"

import type { ErrorCode } from "@lamina/protocol"
import { ERRORS, LaminaError } from "@lamina/protocol"

import { TransportError } from "../session/link.js"
import { Refusal } from "../session/requests.js"
import type { Session } from "../session/session.js"
import { abortable, backoffMs } from "../timing.js"
import type { Random } from "../timing.js"

interface HttpOptions {
  readonly url: URL
  readonly session: Session
  readonly random: Random
  readonly signal: AbortSignal
}

interface HttpRequest {
  readonly method: "GET" | "PUT"
  /** Below the coordinator's URL, starting with `/v1/`. */
  readonly path: string
  readonly body?: Uint8Array
  /** A transport failure is thrown instead of repeated. */
  readonly once?: boolean
  /** First byte wanted, asked before every try; the answer may still begin at 0. */
  readonly from?: () => Promise<number>
}

/** Refusals that mean "again" whatever was asked. */
const AGAIN: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["RATE_LIMITED", "INTERNAL", "STORAGE_FULL"])

/** An idle connection is given up after a minute without a byte. */
const IDLE_MS = 60_000
const ERROR_BYTES_MAX = 64 * 1024

/** Connections to one coordinator, of all clients of a process: the token goes with each request. */
export const CONNECTIONS_MAX = 32
const pools = new Map<string, { readonly pool: Pool; users: number }>()

function poolOf(origin: string): Pool {
  const known = pools.get(origin)
  if (known) {
    known.users += 1
    return known.pool
  }
  const pool = new Pool(origin, {
    connections: CONNECTIONS_MAX,
    headersTimeout: IDLE_MS,
    bodyTimeout: IDLE_MS,
    connect: { timeout: 10_000 },
  })
  pools.set(origin, { pool, users: 1 })
  return pool
}

async function leavePool(origin: string): Promise<void> {
  const known = pools.get(origin)
  if (!known || --known.users > 0) return
  pools.delete(origin)
  await known.pool.destroy()
}

/** Bulk transfers with one coordinator, authorised by the session's token. */
export class Http {
  readonly #options: HttpOptions
  readonly #pool: Pool
  readonly #prefix: string

  constructor(options: HttpOptions) {
    this.#options = options
    this.#prefix = options.url.pathname.replace(/\/+$/, "")
    this.#pool = poolOf(options.url.origin)
  }

  /** Of the coordinator's URL. */
  get origin(): string {
    return this.#options.url.origin
  }

  /**
   * One request and what `read` makes of its answer, repeated with backoff on every transport failure until it is
   * answered; `read` must be able to start again. Throws the coordinator's refusal, and what `read` throws.
   */
  async request<T>(request: HttpRequest, read: (answer: Dispatcher.ResponseData) => Promise<T>): Promise<T> {
    const { session, random } = this.#options
    for (let attempt = 0; ; attempt++) {
      const link = await session.link()
      try {
        return await this.#once(request, link.token, read)
      } catch (error) {
        this.#options.signal.throwIfAborted()
        const refusal = error instanceof Refusal ? error.code : undefined
        if (refusal === "SESSION_EXPIRED") await session.renew(link)
        else if (request.once && error instanceof TransportError) throw error
        else if (!(error instanceof TransportError) && !(refusal && AGAIN.has(refusal))) throw error
        await session.pause(`${request.method} ${request.path}`, error, backoffMs(attempt, random))
      }
    }
  }

  /** The whole answer in memory, refused above `bytesMax` before it is there. */
  async bytes(path: string, bytesMax: number): Promise<Uint8Array> {
    return this.request({ method: "GET", path }, (answer) => collect(answer, path, bytesMax))
  }

  /** Requests under way end with the signal of the options. */
  async close(): Promise<void> {
    await leavePool(this.#options.url.origin)
  }

  async #once<T>(
    request: HttpRequest,
    token: string,
    read: (answer: Dispatcher.ResponseData) => Promise<T>,
  ): Promise<T> {
    const headers: Record<string, string> = { authorization: `Bearer ${token}` }
    if (request.body) headers["content-type"] = "application/octet-stream"
    const from = await request.from?.()
    if (from) headers.range = `bytes=${from}-`
    const { signal } = this.#options
    const answer = await transport(
      this.#pool.request({
        method: request.method,
        path: this.#prefix + request.path,
        headers,
        body: request.body,
        signal,
      }),
      signal,
    )
    try {
      if (answer.statusCode >= 300 && answer.statusCode !== 416) throw await refusal(answer, request.path)
      return await read(answer)
    } catch (error) {
      answer.body.on("error", () => undefined).destroy() // what nobody will read must not keep the connection
      throw error
    }
  }
}

/** Errors of undici and of the system under it -> TransportError; an abort stays an abort. */
async function transport<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await abortable(work, signal)
  } catch (cause) {
    signal.throwIfAborted()
    throw new TransportError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

/** The chunks of a body as they come; a connection lost on the way is a TransportError. */
export async function* bodyChunks(answer: Dispatcher.ResponseData): AsyncGenerator<Uint8Array> {
  const chunks = answer.body[Symbol.asyncIterator]()
  for (;;) {
    let next: IteratorResult<Uint8Array>
    try {
      next = (await chunks.next()) as IteratorResult<Uint8Array>
    } catch (cause) {
      throw new TransportError(cause instanceof Error ? cause.message : String(cause), { cause })
    }
    if (next.done) return
    yield next.value
  }
}

/** Announced length of the body, undefined where none is announced. */
export function contentLength(answer: Dispatcher.ResponseData): number | undefined {
  const header = answer.headers["content-length"]
  return typeof header === "string" && /^\d{1,15}$/.test(header) ? Number(header) : undefined
}

async function collect(answer: Dispatcher.ResponseData, path: string, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = contentLength(answer) ?? 0
  if (bytes > bytesMax) throw tooLarge(path, bytesMax, bytes)
  bytes = 0
  for await (const chunk of bodyChunks(answer)) {
    bytes += chunk.byteLength
    if (bytes > bytesMax) throw tooLarge(path, bytesMax, bytes)
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}

export function tooLarge(what: string, bytesMax: number, bytes: number): LaminaError {
  return new LaminaError("FRAME_TOO_LARGE", `${what}: expected at most ${bytesMax} bytes, got ${bytes}`)
}

/** The coordinator's JSON error; what is not one (a proxy's page) becomes a code by its status. */
async function refusal(answer: Dispatcher.ResponseData, path: string): Promise<Error> {
  try {
    const error: unknown = JSON.parse(new TextDecoder().decode(await collect(answer, path, ERROR_BYTES_MAX)))
    if (typeof error === "object" && error !== null && "code" in error && typeof error.code === "string")
      if (Object.hasOwn(ERRORS, error.code)) {
        const message = "message" in error && typeof error.message === "string" ? error.message : error.code
        return new Refusal(error.code as ErrorCode, message, 0)
      }
  } catch {
    // no JSON, or too long to be an error of ours: judged by its status below
  }
  if (answer.statusCode === 401) return new Refusal("SESSION_EXPIRED", `${path}: status 401`, 0)
  if (answer.statusCode === 404) return new Refusal("NOT_FOUND", `${path}: status 404`, 0)
  return new TransportError(`${path}: status ${answer.statusCode}`, { status: answer.statusCode })
}
