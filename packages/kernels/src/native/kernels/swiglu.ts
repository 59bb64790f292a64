import type { TensorInfo } from "@tensorflow/tfjs-core"

import type { SwigluKeepAttrs, SwigluKept } from "../../ops/kernel-args.js"
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

/** Kernel `SwigluKeep` in C++: one kept tensor of pairs of bf16, or gate and up themselves where nothing is rounded. */
export function swigluKeepNative({ inputs, attrs, backend, addon }: NativeCall<Inputs, SwigluKeepAttrs>): TensorInfo[] {
  const { gate, up } = inputs
  const y = backend.take(backend.floats(gate).length)
  if (attrs.precision === "f32") {
    checkStatus("SwigluKeep", addon.swiglu(backend.floats(gate), backend.floats(up), y))
    return [backend.output(y, gate.shape), backend.same(gate), backend.same(up)]
  }
  const kept = backend.take(y.length)
  checkStatus("SwigluKeep", addon.swigluKeep(backend.floats(gate), backend.floats(up), y, kept))
  return [backend.output(y, gate.shape), backend.output(kept, gate.shape)]
}

/** Kernel `SwigluOfKept` in C++. */
export function swigluOfKeptNative(call: NativeCall<SwigluKept<TensorInfo>, unknown>): TensorInfo {
  const { first: gate, second: up } = call.inputs
  if (up) return swigluNative({ ...call, inputs: { gate, up } })
  const kept = call.backend.floats(gate)
  const y = call.backend.take(kept.length)
  checkStatus("SwigluOfKept", call.addon.swigluOfKept(kept, y))
  return call.backend.output(y, gate.shape)
}

/** Kernel `SwigluGradOfKept` in C++ -> [dgate, dup]. */
export function swigluGradOfKeptNative(
  call: NativeCall<SwigluKept<TensorInfo> & { readonly dy: TensorInfo }, unknown>,
): TensorInfo[] {
  const { dy, first: gate, second: up } = call.inputs
  if (up) return swigluGradNative({ ...call, inputs: { dy, gate, up } })
  const { backend, addon } = call
  const [dgate, dup] = [backend.take(dy.shape[0]! * dy.shape[1]!), backend.take(dy.shape[0]! * dy.shape[1]!)]
  checkStatus("SwigluGradOfKept", addon.swigluGradOfKept(backend.floats(dy), backend.floats(gate), dgate, dup))
  return [backend.output(dgate, dy.shape), backend.output(dup, dy.shape)]
}
