import { EnvHttpProxyAgent, request } from "undici"
import type { Dispatcher } from "undici"

import { LaminaError } from "@lamina/protocol/errors"

import type { HubConfig } from "./hub-config.js"

/** How patient a pull is. */
export interface HubPatience {
  /** Without a byte for this long a connection counts as cut. */
  readonly idleMs: number
  /** Tries of one request in a row that bring nothing new. */
  readonly triesMax: number
  /** Wait before the second try; it doubles with each. */
  readonly retryMs: number
}

export const PATIENCE: HubPatience = { idleMs: 30_000, triesMax: 6, retryMs: 1_000 }
/** The longest wait that a hub can ask for; beyond it the pull ends and says so. */
const RETRY_AFTER_MS_MAX = 300_000
/** huggingface.co needs one, to its storage; a chain longer than this is a loop. */
const REDIRECTS_MAX = 5

interface HubRequest {
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** A try that failed and may go better later. */
export class PassingFailure extends Error {
  constructor(
    message: string,
    readonly failure: LaminaError,
    readonly retryAfterMs?: number,
  ) {
    super(message)
  }
}

/** HTTP to one hub: redirects, the token, proxies of the environment, what each refusal means. */
export class HubHttp {
  readonly #agent: EnvHttpProxyAgent
  readonly #config: HubConfig
  readonly #patience: HubPatience

  constructor(config: HubConfig, patience: HubPatience) {
    this.#config = config
    this.#patience = patience
    this.#agent = new EnvHttpProxyAgent({ headersTimeout: patience.idleMs, bodyTimeout: patience.idleMs })
  }

  /**
   * The answer with status 200 or 206, or 416 to a range, whose body the caller reads or dumps. Redirects are followed;
   * the token goes to the endpoint's origin only. PassingFailure for what may pass; HUB_REFUSED, NOT_FOUND and
   * HUB_UNREACHABLE for what does not.
   */
  async get({ url, headers = {}, signal }: HubRequest): Promise<Dispatcher.ResponseData> {
    const home = new URL(this.#config.endpoint).origin
    let at = new URL(url)
    for (let hop = 0; hop <= REDIRECTS_MAX; hop++) {
      const token = this.#config.token !== undefined && at.origin === home ? this.#config.token : undefined
      const response = await this.#once(
        at,
        { ...headers, ...(token ? { authorization: `Bearer ${token}` } : {}) },
        signal,
      )
      const { statusCode, headers: answered } = response
      if (statusCode === 200 || statusCode === 206 || statusCode === 416) return response
      await response.body.dump({ limit: 65_536 }).catch(() => undefined) // its failure changes nothing
      const location = single(answered.location)
      if (statusCode < 300 || statusCode > 399 || location === undefined)
        throw refusal(at, response, token !== undefined)
      at = redirected(at, location)
    }
    throw new LaminaError("HUB_UNREACHABLE", `${url}: expected at most ${REDIRECTS_MAX} redirects, got more`)
  }

  async #once(url: URL, headers: Record<string, string>, signal?: AbortSignal): Promise<Dispatcher.ResponseData> {
    try {
      return await request(url, {
        dispatcher: this.#agent,
        headers: { "user-agent": "lamina", "accept-encoding": "identity", ...headers },
        ...(signal ? { signal } : {}),
      })
    } catch (cause) {
      if (signal?.aborted) throw cause
      throw unreachable(url, cause)
    }
  }

  /** Does `work` until it ends or fails for good; waits between tries. `progressed` starts the count of tries again. */
  async retry<T>(work: () => Promise<T>, options: { signal?: AbortSignal; progressed?: () => boolean }): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work()
      } catch (error) {
        if (!(error instanceof PassingFailure)) throw error
        if (options.progressed?.() === true) tries = 1
        if (tries >= this.#patience.triesMax) throw error.failure
        const wait = error.retryAfterMs ?? this.#patience.retryMs * 2 ** (tries - 1) * (0.5 + Math.random())
        if (wait > RETRY_AFTER_MS_MAX) throw error.failure
        await pause(wait, options.signal)
      }
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy()
  }
}

/** A connection that could not be made or was cut. */
export function unreachable(url: URL, cause: unknown): PassingFailure {
  const { code, message } = cause as NodeJS.ErrnoException
  const failure = new LaminaError("HUB_UNREACHABLE", `${url.origin} does not answer: ${code ?? message}`, {
    cause,
    hint: "check the network, HTTPS_PROXY, and HF_ENDPOINT for a mirror; the same command goes on where it was",
  })
  return new PassingFailure(failure.message, failure)
}

function redirected(from: URL, location: string): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined
  const safe = to?.protocol === "https:" || (to?.protocol === "http:" && from.protocol === "http:")
  if (to !== undefined && safe) return to
  throw new LaminaError(
    "HUB_UNREACHABLE",
    `${from.origin}: expected a redirect to https, got ${location.slice(0, 200)}`,
  )
}

function refusal(url: URL, response: Dispatcher.ResponseData, withToken: boolean): Error {
  const { statusCode, headers } = response
  const where = `${url.origin}${url.pathname}`
  const said = single(headers["x-error-message"])?.slice(0, 300)
  const detail = `${statusCode}${said ? `, ${said}` : ""}`
  if (statusCode === 401 || statusCode === 403)
    return new LaminaError("HUB_REFUSED", `${where}: expected to be let in, got ${detail}`, {
      hint: hintOf(url, headers, withToken),
    })
  if (statusCode === 404)
    return new LaminaError("NOT_FOUND", `${where}: expected a model, got ${detail}`, {
      hint: "check the name and the revision",
    })
  const failure = new LaminaError(
    statusCode === 429 ? "RATE_LIMITED" : "HUB_UNREACHABLE",
    `${where}: expected an answer, got ${detail}`,
    {
      hint:
        statusCode === 429 ? "wait a while, or set HF_TOKEN: hubs allow more to those they know" : "try again later",
    },
  )
  const passes = statusCode === 408 || statusCode === 429 || statusCode >= 500
  return passes ? new PassingFailure(failure.message, failure, retryAfter(single(headers["retry-after"]))) : failure
}

function hintOf(url: URL, headers: Dispatcher.ResponseData["headers"], withToken: boolean): string {
  if (single(headers["x-error-code"]) === "GatedRepo")
    return `accept the model's terms on its page at ${url.origin}, then set HF_TOKEN to a token of yours`
  return withToken
    ? "the token may not read this model: check HF_TOKEN"
    : "no such model, or a private or gated one: check the name, or set HF_TOKEN to a token that may read it"
}

/** Seconds or a date -> milliseconds from now. */
function retryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const seconds = /^\d{1,9}$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : undefined
}

/** The one value of a header. */
export function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop)
      resolve()
    }, ms)
    if (signal?.aborted) stop()
    else signal?.addEventListener("abort", stop, { once: true })
  })
}
