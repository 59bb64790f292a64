import type { TensorInfo } from "@tensorflow/tfjs-core"

import type { GeluAttrs } from "../../ops/kernel-args.js"
import { checkStatus } from "../status.js"
import type { NativeCall } from "./kernel.js"

interface Inputs {
  readonly x: TensorInfo
}

/** Kernel `Gelu` in C++. */
export function geluNative({ inputs, attrs, backend, addon }: NativeCall<Inputs, GeluAttrs>): TensorInfo {
  const x = backend.floats(inputs.x)
  const y = backend.take(x.length)
  checkStatus("Gelu", addon.gelu(x, attrs.tanh, y))
  return backend.output(y, inputs.x.shape)
}

/** Kernel `GeluGrad` in C++. */
export function geluGradNative({
  inputs,
  attrs,
  backend,
  addon,
}: NativeCall<Inputs & { readonly dy: TensorInfo }, GeluAttrs>): TensorInfo {
  const x = backend.floats(inputs.x)
  const dx = backend.take(x.length)
  checkStatus("GeluGrad", addon.geluGrad(backend.floats(inputs.dy), x, attrs.tanh, dx))
  return backend.output(dx, inputs.x.shape)
}
