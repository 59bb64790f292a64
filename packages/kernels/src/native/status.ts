import { KernelError } from "../errors.js"
import type { KernelErrorCode } from "../errors.js"

/** The enum of native/status.hpp. */
const STATUS: Record<number, readonly [KernelErrorCode, string]> = {
  1: ["KERNEL_SHAPE", "an array of another type or a missing one"],
  2: ["KERNEL_SHAPE", "an array of another length than the shapes say"],
  3: ["KERNEL_SHAPE", "a value out of range"],
  4: ["KERNEL_FAILED", "out of memory"],
  5: ["KERNEL_FAILED", "did not converge"],
}

/**
 * Throws what a native status says; nobody may read the outputs then. The upper bits hold the position of the
 * argument, from 1.
 */
export function checkStatus(kernel: string, answer: number): void {
  if (answer === 0) return
  const [code, text] = STATUS[answer % 256] ?? ["KERNEL_FAILED", `native status ${answer}`]
  const position = Math.floor(answer / 256)
  throw new KernelError(
    code,
    position === 0 ? `${kernel}: ${text}` : `${kernel}: ${text} (native argument ${position})`,
  )
}
