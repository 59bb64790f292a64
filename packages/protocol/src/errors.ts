/**
 * Every failure that can leave a package: code -> wire number, retry advice and exit status of the command line. Names
 * and numbers are on the wire: append, never rename, never reuse. docs/errors.md lists the same codes (a test
 * compares).
 */
export const ERRORS = {
  // 1xxx: frames and sessions
  FRAME_TOO_LARGE: { wire: 1001, retry: "never" },
  FRAME_MALFORMED: { wire: 1002, retry: "never" },
  PROTOCOL_VERSION: { wire: 1003, retry: "never" },
  SESSION_REJECTED: { wire: 1004, retry: "never" },
  SESSION_EXPIRED: { wire: 1005, retry: "now" },
  RATE_LIMITED: { wire: 1006, retry: "later" },
  COORDINATOR_CHANGED: { wire: 1007, retry: "never" },
  SIGNATURE_INVALID: { wire: 1008, retry: "never" },
  // 2xxx: federations, runs, rounds
  NOT_FOUND: { wire: 2001, retry: "never" },
  RUN_STATE: { wire: 2002, retry: "never" },
  ROUND_EMPTY: { wire: 2003, retry: "next-round" },
  ROUND_MISMATCH: { wire: 2004, retry: "next-round" },
  ROUND_CLOSED: { wire: 2005, retry: "next-round" },
  NOT_SELECTED: { wire: 2006, retry: "next-round" },
  QUORUM_MISSED: { wire: 2007, retry: "next-round" },
  RECIPE_INVALID: { wire: 2008, retry: "never" },
  PLAN_UNSUPPORTED: { wire: 2009, retry: "next-round" },
  PLAN_INFEASIBLE: { wire: 2010, retry: "never" },
  // 3xxx: envelopes, uploads, updates
  ENVELOPE_REJECTED: { wire: 3001, retry: "never" },
  UPLOAD_CONFLICT: { wire: 3002, retry: "never" },
  UPLOAD_INCOMPLETE: { wire: 3003, retry: "now" },
  CHUNK_MISMATCH: { wire: 3004, retry: "now" },
  UPDATE_MALFORMED: { wire: 3005, retry: "never" },
  UPDATE_SHAPE: { wire: 3006, retry: "never" },
  UPDATE_RANK: { wire: 3007, retry: "never" },
  UPDATE_MODULE: { wire: 3008, retry: "never" },
  UPDATE_NOT_FINITE: { wire: 3009, retry: "never" },
  UPDATE_WEIGHT: { wire: 3010, retry: "never" },
  BLOB_CORRUPT: { wire: 3011, retry: "now" },
  STORAGE_FULL: { wire: 3012, retry: "later" },
  // 4xxx: kernels (packages/kernels throws its own KernelError with these names)
  KERNEL_SHAPE: { wire: 4001, retry: "never" },
  KERNEL_FAILED: { wire: 4002, retry: "never" },
  KERNEL_UNAVAILABLE: { wire: 4003, retry: "never" },
  // 5xxx: model files, tokenizers, data, training (tuner)
  WEIGHTS_MALFORMED: { wire: 5001, retry: "never" },
  WEIGHTS_DTYPE: { wire: 5002, retry: "never" },
  WEIGHTS_MISSING: { wire: 5003, retry: "never" },
  MODEL_UNSUPPORTED: { wire: 5004, retry: "never" },
  MODEL_CONFIG: { wire: 5005, retry: "never" },
  TOKENIZER_MISSING: { wire: 5006, retry: "never" },
  TOKENIZER_MALFORMED: { wire: 5007, retry: "never" },
  DATA_MALFORMED: { wire: 5008, retry: "never" },
  DATA_EMPTY: { wire: 5009, retry: "never" },
  ADAPTER_MALFORMED: { wire: 5010, retry: "never" },
  ADAPTER_MISMATCH: { wire: 5011, retry: "never" },
  CHECKPOINT_MISMATCH: { wire: 5012, retry: "never" },
  TRAINING_DIVERGED: { wire: 5013, retry: "next-round" },
  BASE_MISMATCH: { wire: 5014, retry: "never" },
  SCORES_NOT_FINITE: { wire: 5015, retry: "never" },
  // 6xxx: command line and configuration
  USAGE: { wire: 6001, retry: "never" },
  FILE_UNREADABLE: { wire: 6002, retry: "never" },
  FILE_UNWRITABLE: { wire: 6003, retry: "never" },
  COORDINATOR_UNREACHABLE: { wire: 6004, retry: "later" },
  STRATEGY_UNSUITABLE: { wire: 6005, retry: "never" },
  HUB_UNREACHABLE: { wire: 6006, retry: "later" },
  HUB_REFUSED: { wire: 6007, retry: "never" },
  HUB_MALFORMED: { wire: 6008, retry: "never" },
  // 9xxx
  INTERNAL: { wire: 9001, retry: "now" },
} as const satisfies Record<string, { wire: number; retry: "never" | "now" | "later" | "next-round" }>

export type ErrorCode = keyof typeof ERRORS

/**
 * A failure a user or a peer can act on. `code` is stable, `message` says what, expected, got; `hint` says what to do.
 */
export class LaminaError extends Error {
  override readonly name = "LaminaError"
  readonly code: ErrorCode
  readonly hint: string | undefined

  constructor(code: ErrorCode, message: string, options?: ErrorOptions & { hint?: string }) {
    super(message, options)
    this.code = code
    this.hint = options?.hint
  }
}

const byWire = new Map<number, ErrorCode>(Object.entries(ERRORS).map(([code, { wire }]) => [wire, code as ErrorCode]))

/** The code of a wire number; a number this build does not know is INTERNAL (a newer peer may have appended codes). */
export function errorCodeOfWire(wire: number): ErrorCode {
  return byWire.get(wire) ?? "INTERNAL"
}

/**
 * True for any error that carries a code of the table: LaminaError, KernelError, or one from another copy of this
 * package.
 */
export function hasErrorCode(error: unknown): error is Error & { code: ErrorCode; hint?: string } {
  return (
    error instanceof Error && "code" in error && typeof error.code === "string" && Object.hasOwn(ERRORS, error.code)
  )
}
