import { ERRORS, LaminaError, hasErrorCode } from "@lamina/protocol/errors"
import { messages } from "@lamina/protocol"
import type { Logger } from "pino"

/** A request that has no answer by then is told so; the work goes on, and asking again joins it. */
const REQUEST_LIMIT_MS = 30_000

/** What a failure asks the sender to wait before it tries again. */
const RETRY_LATER_MS = 5_000

/**
 * Every request is answered once, with a result or a code. A failure without a code is a bug: in full in the log, one
 * word on the wire.
 */
export async function reply(work: () => Promise<Uint8Array>, logger: Logger): Promise<Uint8Array> {
  try {
    return messages.Reply.encode({ ok: await withLimit(work()) })
  } catch (error) {
    if (!hasErrorCode(error)) logger.error({ err: error }, "a request failed in a way nobody foresaw")
    return refused(error)
  }
}

/** The Reply of a failure. */
export function refused(error: unknown): Uint8Array {
  return messages.Reply.encode({ failure: failureOf(error) })
}

/** Code and words of a failure as they may leave this machine. */
export function failureOf(error: unknown): { code: number; message: string; retryAfterMs: number } {
  const code = hasErrorCode(error) ? error.code : "INTERNAL"
  const message = hasErrorCode(error) ? error.message : "the coordinator failed; its log says why"
  const { wire, retry } = ERRORS[code]
  return { code: wire, message: cut(message), retryAfterMs: retry === "later" ? RETRY_LATER_MS : 0 }
}

/** Bytes of a Failure's message (docs/protocol.md). */
const MESSAGE_BYTES_MAX = 1_000

/** A character that is cut becomes U+FFFD, three bytes. */
function cut(message: string): string {
  return new TextDecoder().decode(new TextEncoder().encode(message).subarray(0, MESSAGE_BYTES_MAX - 3))
}

async function withLimit(work: Promise<Uint8Array>): Promise<Uint8Array> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(new LaminaError("INTERNAL", `expected an answer within ${REQUEST_LIMIT_MS} ms, got none; ask again`)),
      REQUEST_LIMIT_MS,
    )
  })
  try {
    return await Promise.race([work, limit])
  } finally {
    clearTimeout(timer)
  }
}
