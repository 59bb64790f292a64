import { hasErrorCode, LaminaError } from "@lamina/protocol"
import type { RequestName } from "@lamina/protocol"

import type { Emit } from "../events.js"
import type { Random } from "../timing.js"
import { abortable, backoffMs, delay } from "../timing.js"
import type { OpenLink } from "./handshake.js"
import type { Refusal, Requests } from "./requests.js"
import { TransportError } from "./link.js"

interface SessionOptions {
  /** One attempt: connect, prove who we are, get a token. */
  readonly connect: (onHint: () => void, signal: AbortSignal) => Promise<OpenLink>
  /** How long the very first connection may take altogether; Infinity waits for ever. Later losses always do. */
  readonly firstConnectMs: number
  readonly coordinator: string
  readonly random: Random
  readonly emit: Emit
  /** Ends the session and everything that waits in it. */
  readonly signal: AbortSignal
}

/**
 * Refusals that another attempt of the same client may turn: the coordinator is starting, full, or has forgotten the
 * session.
 */
const AGAIN = new Set(["SESSION_EXPIRED", "RATE_LIMITED", "INTERNAL", "STORAGE_FULL"])

/**
 * A conversation with one coordinator that outlives its connections. Requests are idempotent, so each is repeated on
 * the next connection until it is answered; only the answer, a refusal or the abort ends it.
 */
export class Session {
  readonly #options: SessionOptions
  #link: Promise<OpenLink>
  /** The link while it lives. */
  #current: OpenLink | undefined
  #opened = false
  #hints = 0
  #onHint: () => void = () => undefined

  constructor(options: SessionOptions) {
    this.#options = options
    this.#link = this.#open()
    options.signal.addEventListener("abort", () => void this.#drop(), { once: true })
  }

  /**
   * The open connection, when there is one again. Rejects when the coordinator refuses us for good, or with the
   * abort's reason.
   */
  link(): Promise<OpenLink> {
    return abortable(this.#link, this.#options.signal)
  }

  /**
   * Asks until there is an answer. Throws the coordinator's refusal, except for those that only mean "again":
   * SESSION_EXPIRED opens a new session, INTERNAL, RATE_LIMITED and STORAGE_FULL wait.
   */
  async request<K extends RequestName>(name: K, request: Requests[K]["request"]): Promise<Requests[K]["answer"]> {
    for (let attempt = 0; ; attempt++) {
      const link = await this.link()
      let answer
      try {
        answer = await abortable(link.request(name, request), this.#options.signal)
      } catch (error) {
        if (!(error instanceof TransportError)) throw error
        await this.renew(link)
        // the first loss is the network's; a connection that dies of the same request again and again is not asked in
        // a hot loop
        if (attempt > 0) await this.pause(name, error, backoffMs(attempt, this.#options.random))
        continue
      }
      if ("ok" in answer) return answer.ok
      await this.#refused(name, link, answer.refusal, attempt)
    }
  }

  async #refused(name: RequestName, link: OpenLink, refusal: Refusal, attempt: number): Promise<void> {
    if (!AGAIN.has(refusal.code)) throw refusal
    if (refusal.code === "SESSION_EXPIRED") {
      await this.renew(link)
      if (attempt === 0) return
    }
    await this.pause(name, refusal, Math.max(refusal.retryAfterMs, backoffMs(attempt, this.#options.random)))
  }

  /** Tells without waiting: dropped while there is no connection, and whatever the answer. */
  tell<K extends RequestName>(name: K, request: Requests[K]["request"]): void {
    void this.#current?.request(name, request).catch(() => undefined)
  }

  /** The token in `link` is no longer taken: closes it, so that the next `link()` is a new one. */
  async renew(link: OpenLink): Promise<void> {
    link.close()
    await link.lost
  }

  /** A point in time to wait from: a hint that comes after it is not missed. */
  hintMark(): number {
    return this.#hints
  }

  /** Until a hint later than `mark`, or `ms`. */
  async hintOr(mark: number, ms: number): Promise<void> {
    if (this.#hints !== mark) return
    let timer: NodeJS.Timeout | undefined
    const enough = new Promise<void>((resolve) => {
      this.#onHint = resolve
      timer = setTimeout(resolve, ms)
    })
    try {
      await abortable(enough, this.#options.signal)
    } finally {
      clearTimeout(timer)
    }
  }

  /** Reports a failure that is tried again, and waits. */
  async pause(what: string, error: unknown, inMs: number): Promise<void> {
    const known = hasErrorCode(error)
      ? new LaminaError(error.code, error.message, { cause: error })
      : unreachable(what, error)
    this.#options.emit("retrying", { what, error: known, inMs })
    await delay(inMs, this.#options.signal)
  }

  #open(): Promise<OpenLink> {
    const opening = this.#attempts()
    opening.then(
      (link) => void link.lost.then(() => this.#reopen()),
      () => undefined, // whoever asks for the link is told; nobody may be asking yet
    )
    return opening
  }

  #reopen(): void {
    this.#current = undefined
    if (!this.#options.signal.aborted) this.#link = this.#open()
  }

  async #attempts(): Promise<OpenLink> {
    const { connect, emit, random, signal, firstConnectMs, coordinator } = this.#options
    const started = performance.now()
    for (let attempt = 0; ; attempt++) {
      try {
        const link = await connect(() => this.#hinted(), signal)
        if (this.#opened) this.#hinted() // what was hinted at in between did not come
        this.#opened = true
        this.#current = link
        emit("connected", { coordinator, clientId: link.clientIdHex, federationId: link.federationIdHex })
        return link
      } catch (error) {
        signal.throwIfAborted()
        if (!isWorthAnotherAttempt(error)) throw error
        const inMs = backoffMs(attempt, random)
        const left = this.#opened ? Infinity : firstConnectMs - (performance.now() - started)
        if (left <= inMs) throw hasErrorCode(error) ? error : unreachable(coordinator, error)
        emit("reconnecting", {
          attempt: attempt + 1,
          inMs,
          cause: error instanceof Error ? error.message : String(error),
        })
        await delay(inMs, signal)
      }
    }
  }

  #hinted(): void {
    this.#hints += 1
    this.#onHint()
  }

  async #drop(): Promise<void> {
    const link = await this.#link.catch(() => undefined)
    link?.close()
  }
}

function isWorthAnotherAttempt(error: unknown): boolean {
  return error instanceof TransportError || (hasErrorCode(error) && AGAIN.has(error.code))
}

function unreachable(what: string, cause: unknown): LaminaError {
  return new LaminaError(
    "COORDINATOR_UNREACHABLE",
    `${what}: ${cause instanceof Error ? cause.message : String(cause)}`,
    {
      cause,
      hint: "is the address right, and is `lamina serve` running there?",
    },
  )
}
