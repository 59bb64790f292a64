import util from "node:util"

import * as tf from "@tensorflow/tfjs-core"

import { KernelError } from "./errors.js"

/** Backends that come with packages a user may install beside this one (docs/backends.md). */
export type OptionalBackend = "wasm" | "tensorflow"

const PACKAGES: Readonly<Record<OptionalBackend, string>> = {
  wasm: "@tensorflow/tfjs-backend-wasm",
  tensorflow: "@tensorflow/tfjs-node",
}

/**
 * Loads the package of a backend, which registers it with tfjs. Throws KERNEL_UNAVAILABLE, saying what to install,
 * where it is missing, does not load, or brings another copy of tfjs along.
 */
export async function loadOptionalBackend(backend: OptionalBackend): Promise<void> {
  if (tf.findBackendFactory(backend)) return
  const name = PACKAGES[backend]
  // The last tfjs-node calls a function that Node 23 took away.
  if (backend === "tensorflow" && !("isNullOrUndefined" in util))
    Object.assign(util, { isNullOrUndefined: (value: unknown) => value === null || value === undefined })
  try {
    await import(name)
  } catch (cause) {
    const { code, message } = cause as { code?: string; message: string }
    const missing = (code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND") && message.includes(name)
    const problem = missing ? "is not installed" : `does not load: ${message.split("\n")[0]}`
    throw new KernelError(
      "KERNEL_UNAVAILABLE",
      `backend "${backend}": ${name} ${problem} (npm install ${name}@4.22.0)`,
      {
        cause,
      },
    )
  }
  if (!tf.findBackendFactory(backend))
    throw new KernelError(
      "KERNEL_UNAVAILABLE",
      `backend "${backend}": ${name} brought another copy of @tensorflow/tfjs-core (expected 4.22.0 of both, once)`,
    )
}
