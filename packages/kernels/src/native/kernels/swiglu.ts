import type { TensorInfo } from "@tensorflow/tfjs-core"

import { checkStatus } from "../status.js"
import type { NativeCall } from "./kernel.js"

interface Inputs {
  readonly gate: TensorInfo
  readonly up: TensorInfo
}

/** Kernel `Swiglu` in C++. */
export function swigluNative({ inputs, backend, addon }: NativeCall<Inputs, unknown>): TensorInfo {
  const [gate, up] = [backend.floats(inputs.gate), backend.floats(inputs.up)]
  const y = backend.take(gate.length)
  checkStatus("Swiglu", addon.swiglu(gate, up, y))
  return backend.output(y, inputs.gate.shape)
}

/** Kernel `SwigluGrad` in C++ -> [dgate, dup]. */
export function swigluGradNative({
  inputs,
  backend,
  addon,
}: NativeCall<Inputs & { readonly dy: TensorInfo }, unknown>): TensorInfo[] {
  const [gate, up] = [backend.floats(inputs.gate), backend.floats(inputs.up)]
  const [dgate, dup] = [backend.take(gate.length), backend.take(up.length)]
  checkStatus("SwigluGrad", addon.swigluGrad(backend.floats(inputs.dy), gate, up, dgate, dup))
  return [backend.output(dgate, inputs.gate.shape), backend.output(dup, inputs.up.shape)]
}
