import type { TensorInfo } from "@tensorflow/tfjs-core"

import type { RmsNormAttrs } from "../../ops/kernel-args.js"
import { checkStatus } from "../status.js"
import type { NativeCall } from "./kernel.js"

interface Inputs {
  readonly x: TensorInfo
}

/** Kernel `RmsNorm` in C++. */
export function rmsNormNative({ inputs, attrs, backend, addon }: NativeCall<Inputs, RmsNormAttrs>): TensorInfo {
  const [rows, d] = inputs.x.shape as [number, number]
  const y = backend.take(rows * d)
  checkStatus("RmsNorm", addon.rmsNorm(rows, d, backend.floats(inputs.x), attrs.weight, attrs.eps, y))
  return backend.output(y, [rows, d])
}
