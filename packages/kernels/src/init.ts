import * as tf from "@tensorflow/tfjs-core"
import "@tensorflow/tfjs-backend-cpu"

import { KernelError } from "./errors.js"
import { addon } from "./native/addon.js"
import { registerNativeBackend } from "./native/register.js"
import { registerGradients } from "./ops/gradients.js"
import { loadOptionalBackend } from "./optional-backend.js"
import type { OptionalBackend } from "./optional-backend.js"
import { registerReferenceKernels } from "./reference/register.js"

/**
 * tfjs backends this package sets up: `native` is the C++ addon; `cpu` (plain JavaScript), `wasm` and `tensorflow` run
 * the reference kernels. The last two need packages of their own (docs/backends.md).
 */
export type BackendName = "cpu" | "native" | OptionalBackend

export interface KernelSetup {
  readonly backend: BackendName
  /** Threads of native kernels called from this JavaScript thread; default: one per processor. The others ignore it. */
  readonly threads?: number
}

/**
 * Registers gradients and kernels and makes `backend` the tfjs backend of this thread. Call it before any op; calling
 * it again switches.
 * Throws KERNEL_UNAVAILABLE when the backend cannot run here.
 */
export async function initKernels({ backend, threads }: KernelSetup): Promise<void> {
  registerGradients()
  registerReferenceKernels("cpu")
  if (backend === "wasm" || backend === "tensorflow") {
    await loadOptionalBackend(backend)
    registerReferenceKernels(backend)
  }
  if (backend === "native") {
    registerNativeBackend()
    const native = addon()
    native.setThreads(threads ?? native.processors())
  }
  if (!(await tf.setBackend(backend))) throw new KernelError("KERNEL_UNAVAILABLE", `backend "${backend}" did not start`)
  if (backend === "wasm" || backend === "tensorflow") return
  // tfjs prints an advertisement for another package at the first tensor of a cpu backend
  Object.assign(tf.backend(), { firstUse: false })
}
