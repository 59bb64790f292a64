import { nativeAvailable, nativeIsa, nativeProblem } from "@lamina/kernels"
import { LaminaError } from "@lamina/protocol/errors"

import type { PoolBackend } from "./messages.js"

/** The backend of a pool, and how it is reported: "native avx512bf16", "reference cpu". */
interface ChosenKernels {
  readonly backend: PoolBackend
  readonly kernels: string
}

/**
 * `wanted`, or else native where the addon loads. KERNEL_UNAVAILABLE when native is wanted and does not load; wasm and
 * tensorflow are loaded, and may be missing, when the first job runs.
 */
export function chooseKernels(wanted: PoolBackend | undefined): ChosenKernels {
  if (wanted === "native" && !nativeAvailable())
    throw new LaminaError("KERNEL_UNAVAILABLE", `backend "native": ${nativeProblem()}`, {
      hint: "install a C++20 compiler and make, then npm rebuild @lamina/kernels; or choose the slow backend cpu",
    })
  if (wanted === "wasm" || wanted === "tensorflow") return { backend: wanted, kernels: `reference ${wanted}` }
  if (wanted === "cpu" || !nativeAvailable()) return { backend: "cpu", kernels: "reference cpu" }
  return { backend: "native", kernels: `native ${nativeIsa()}` }
}
