import { hasErrorCode, LaminaError } from "@lamina/protocol/errors"
import type { ErrorCode } from "@lamina/protocol/errors"

/** An error on its way between threads: structured cloning keeps neither the class nor the code. */
export interface Failure {
  readonly code: ErrorCode
  readonly message: string
  readonly hint?: string
  readonly stack?: string
}

/** Any thrown value as a Failure; what carries no code of the table is INTERNAL. */
export function failureOf(error: unknown): Failure {
  const stack = error instanceof Error ? error.stack : undefined
  if (hasErrorCode(error)) return { code: error.code, message: error.message, hint: error.hint, stack }
  return { code: "INTERNAL", message: error instanceof Error ? error.message : String(error), stack }
}

/** The failure as an error of this thread; the other thread's stack is that of its cause. */
export function errorOf({ code, message, hint, stack }: Failure): LaminaError {
  const cause = new Error(message)
  if (stack !== undefined) cause.stack = stack
  return new LaminaError(code, message, { cause, ...(hint === undefined ? {} : { hint }) })
}
