import * as tf from "@tensorflow/tfjs-core"
import type { TensorInfo } from "@tensorflow/tfjs-core"

import { checkStatus } from "../status.js"
import type { NativeCall } from "./kernel.js"

interface AddInputs {
  readonly a: TensorInfo
  readonly b: TensorInfo
}

/**
 * Kernel `Add`: C++ for two f32 tensors of one shape (residual sums, gradients), the cpu backend's kernel for
 * broadcasts and the rest.
 */
export function addNative({ inputs, backend, addon }: NativeCall<AddInputs, object>): TensorInfo {
  const { a, b } = inputs
  if (a.dtype !== "float32" || b.dtype !== "float32" || !sameShape(a, b)) return cpuKernel("Add", inputs, backend)
  const left = backend.floats(a)
  const y = backend.take(left.length)
  checkStatus("Add", addon.add(left, backend.floats(b), y))
  return backend.output(y, a.shape)
}

/** Kernel `AddN`, summed from the first to the last. */
export function addNNative({ inputs, backend, addon }: NativeCall<TensorInfo[], object>): TensorInfo {
  const [first, second, ...rest] = Object.values(inputs)
  const plain = [first, second, ...rest].every((t) => t && t.dtype === "float32" && sameShape(t, first!))
  if (!second || !plain) return cpuKernel("AddN", inputs, backend)
  const y = backend.take(backend.floats(first!).length)
  checkStatus("AddN", addon.add(backend.floats(first!), backend.floats(second), y))
  for (const other of rest) checkStatus("AddN", addon.add(y, backend.floats(other), y))
  return backend.output(y, first!.shape)
}

function sameShape(a: TensorInfo, b: TensorInfo): boolean {
  return a.shape.length === b.shape.length && a.shape.every((size, axis) => size === b.shape[axis])
}

function cpuKernel(name: string, inputs: object, backend: tf.KernelBackend): TensorInfo {
  const kernel = tf.getKernel(name, "cpu")
  return kernel.kernelFunc({ inputs: inputs as tf.NamedTensorInfoMap, backend, attrs: {} }) as TensorInfo
}
