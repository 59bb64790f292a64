import { ERRORS, LaminaError } from "@lamina/protocol/errors"
import type { ErrorCode } from "@lamina/protocol/errors"

interface Call {
  readonly method?: "GET" | "POST"
  readonly token?: string
  readonly body?: unknown
}

/** The address of a coordinator; a path in it is kept, for one behind a proxy. USAGE. */
export function coordinatorUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !["http:", "https:"].includes(url.protocol) || url.search !== "" || url.hash !== "")
    throw new LaminaError("USAGE", `coordinator: expected a URL such as http://host:7700, got ${JSON.stringify(text)}`)
  if (!url.pathname.endsWith("/")) url.pathname += "/"
  return url
}

/**
 * One REST call: the bytes of the answer. `path` is relative, `v1/runs`. The coordinator's own error comes back as a
 * LaminaError; no answer is COORDINATOR_UNREACHABLE.
 */
export async function callCoordinator(
  coordinator: URL,
  path: string,
  { method = "GET", token, body }: Call,
): Promise<Uint8Array> {
  const headers: Record<string, string> = {}
  if (token !== undefined) headers.authorization = `Bearer ${token}`
  if (body !== undefined) headers["content-type"] = "application/json"
  const request = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
  const url = new URL(path, coordinator)
  const unreachable = (cause: unknown): never => {
    throw new LaminaError("COORDINATOR_UNREACHABLE", `no coordinator answers at ${coordinator.href}`, {
      cause,
      hint: "lamina serve starts one; is the address right?",
    })
  }
  const response = await fetch(url, request).catch(unreachable)
  const bytes = new Uint8Array(await response.arrayBuffer().catch(unreachable))
  if (response.ok) return bytes
  throw failureOf(response, bytes, url)
}

/** `callCoordinator` where the answer is JSON. */
export async function askCoordinator<T>(coordinator: URL, path: string, call: Call): Promise<T> {
  const answer = parsed(await callCoordinator(coordinator, path, call))
  if (answer !== undefined) return answer as T
  throw new LaminaError("COORDINATOR_UNREACHABLE", `${new URL(path, coordinator).href}: expected JSON, got none`, {
    hint: NO_COORDINATOR,
  })
}

const NO_COORDINATOR = "is it a Lamina coordinator?"

function failureOf(response: Response, bytes: Uint8Array, url: URL): LaminaError {
  const answer = parsed(bytes)
  const { code, message, hint } = (typeof answer === "object" && answer !== null ? answer : {}) as Record<
    string,
    unknown
  >
  if (typeof code === "string" && Object.hasOwn(ERRORS, code) && typeof message === "string")
    return new LaminaError(code as ErrorCode, message, typeof hint === "string" ? { hint } : {})
  return new LaminaError("COORDINATOR_UNREACHABLE", `${url.origin} answered ${response.status} to ${url.pathname}`, {
    hint: NO_COORDINATOR,
  })
}

/** Undefined for what is no JSON. */
function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}
