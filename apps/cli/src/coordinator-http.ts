import { ERRORS, LaminaError } from "@lamina/protocol/errors"
import type { ErrorCode } from "@lamina/protocol/errors"

interface Call {
  readonly method?: "GET" | "POST"
  readonly token?: string
  readonly body?: unknown
}

/** One REST call. The coordinator's own error comes back as a LaminaError; no answer is COORDINATOR_UNREACHABLE. */
export async function callCoordinator(url: URL, { method = "GET", token, body }: Call): Promise<Response> {
  const headers: Record<string, string> = {}
  if (token !== undefined) headers.authorization = `Bearer ${token}`
  if (body !== undefined) headers["content-type"] = "application/json"
  const request = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
  const response = await fetch(url, request).catch((cause: unknown) => {
    throw new LaminaError("COORDINATOR_UNREACHABLE", `no coordinator answers at ${url.origin}`, {
      cause,
      hint: "start one with lamina serve, or name its address with --coordinator",
    })
  })
  if (response.ok) return response
  throw await failureOf(response, url)
}

async function failureOf(response: Response, url: URL): Promise<LaminaError> {
  const answer: unknown = await response.json().catch(() => undefined)
  const { code, message, hint } = (typeof answer === "object" && answer !== null ? answer : {}) as Record<
    string,
    unknown
  >
  if (typeof code === "string" && Object.hasOwn(ERRORS, code) && typeof message === "string")
    return new LaminaError(code as ErrorCode, message, typeof hint === "string" ? { hint } : {})
  return new LaminaError("COORDINATOR_UNREACHABLE", `${url.origin} answered ${response.status} to ${url.pathname}`, {
    hint: "is it a Lamina coordinator?",
  })
}
