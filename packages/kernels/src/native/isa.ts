import { addon } from "./addon.js"

/**
 * The instruction set the native kernels use here: amx, avx512bf16, avx512, avx2, neon or portable.
 * Throws KERNEL_UNAVAILABLE without them.
 */
export function nativeIsa(): string {
  return addon().isa()
}
