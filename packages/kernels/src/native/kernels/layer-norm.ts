import type { TensorInfo } from "@tensorflow/tfjs-core"

import type { LayerNormAttrs } from "../../ops/kernel-args.js"
import { checkStatus } from "../status.js"
import type { NativeCall } from "./kernel.js"

interface Inputs {
  readonly x: TensorInfo
}

/** Kernel `LayerNorm` in C++. */
export function layerNormNative({ inputs, attrs, backend, addon }: NativeCall<Inputs, LayerNormAttrs>): TensorInfo {
  const [rows, d] = inputs.x.shape as [number, number]
  const { weight, bias, eps } = attrs
  const y = backend.take(rows * d)
  checkStatus("LayerNorm", addon.layerNorm(rows, d, backend.floats(inputs.x), weight, bias, eps, y))
  return backend.output(y, [rows, d])
}
