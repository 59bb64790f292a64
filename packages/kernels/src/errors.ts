/** The codes of this package; the same names stand in the error table of packages/protocol. */
export type KernelErrorCode = "KERNEL_SHAPE" | "KERNEL_FAILED" | "KERNEL_UNAVAILABLE"

/**
 * A failure of an op: wrong shapes (KERNEL_SHAPE), a computation that could not finish (KERNEL_FAILED), a missing
 * backend (KERNEL_UNAVAILABLE).
 */
export class KernelError extends Error {
  override readonly name = "KernelError"
  readonly code: KernelErrorCode

  constructor(code: KernelErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Throws KERNEL_SHAPE with what, expected and got unless the two are equal (numbers, or shapes element by element). */
export function expectShape(what: string, expected: number | readonly number[], got: number | readonly number[]): void {
  if (String(expected) === String(got) && Array.isArray(expected) === Array.isArray(got)) return
  throw new KernelError("KERNEL_SHAPE", `${what}: expected ${show(expected)}, got ${show(got)}`)
}

function show(shape: number | readonly number[]): string {
  return typeof shape === "number" ? String(shape) : `(${shape.join(", ")})`
}
