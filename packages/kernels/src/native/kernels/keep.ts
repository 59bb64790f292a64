import type { TensorInfo } from "@tensorflow/tfjs-core"

import type { KeepAttrs, KeptAttrs } from "../../ops/kernel-args.js"
import { checkStatus } from "../status.js"
import type { NativeCall } from "./kernel.js"

interface Inputs {
  readonly x: TensorInfo
}

/** Kernel `Keep` in C++: bf16, 16 words for every 32 floats begun. */
export function keepNative({ inputs, attrs, backend, addon }: NativeCall<Inputs, KeepAttrs>): TensorInfo {
  if (attrs.precision === "f32") return backend.same(inputs.x)
  const x = backend.floats(inputs.x)
  const halves = backend.take(Math.ceil(x.length / 32) * 16)
  checkStatus("Keep", addon.halve(x, halves))
  return backend.output(halves, [halves.length])
}

/** Kernel `Kept` in C++. */
export function keptNative({ inputs, attrs, backend, addon }: NativeCall<Inputs, KeptAttrs>): TensorInfo {
  if (attrs.precision === "f32") return backend.same(inputs.x)
  const x = backend.take(attrs.shape[0] * attrs.shape[1])
  checkStatus("Kept", addon.unhalve(x, backend.floats(inputs.x)))
  return backend.output(x, [...attrs.shape])
}
