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

/** Kernel `RmsNormGrad` in C++. */
export function rmsNormGradNative({
  inputs,
  attrs,
  backend,
  addon,
}: NativeCall<Inputs & { readonly dy: TensorInfo; readonly plus?: TensorInfo }, RmsNormAttrs>): TensorInfo {
  const [rows, d] = inputs.x.shape as [number, number]
  const dx = backend.take(rows * d)
  const [dy, x] = [backend.floats(inputs.dy), backend.floats(inputs.x)]
  const plus = inputs.plus && backend.floats(inputs.plus)
  checkStatus("RmsNormGrad", addon.rmsNormGrad(rows, d, dy, x, attrs.weight, attrs.eps, plus, dx))
  return backend.output(dx, [rows, d])
}
