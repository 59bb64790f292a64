import * as tf from "@tensorflow/tfjs-core"
import type { TensorInfo } from "@tensorflow/tfjs-core"

import { KernelError } from "../../errors.js"
import type { NativeCall } from "./kernel.js"

interface Inputs {
  readonly x: TensorInfo
}

/** Kernel `Identity`: another reference to the same data. */
export function identityNative({ inputs, backend }: NativeCall<Inputs, object>): TensorInfo {
  return backend.same(inputs.x)
}

/**
 * Kernel `Reshape`: as Identity; unlike the cpu backend's it does not look at the values, so that their memory is used
 * again.
 */
export function reshapeNative({ inputs, attrs, backend }: NativeCall<Inputs, { shape: number[] }>): TensorInfo {
  const { x } = inputs
  const size = tf.util.sizeFromShape(x.shape)
  const shape = tf.util.inferFromImplicitShape(attrs.shape, size)
  if (tf.util.sizeFromShape(shape) !== size)
    throw new KernelError("KERNEL_SHAPE", `Reshape: expected ${size} elements, got (${shape.join(", ")})`)
  backend.incRef(x.dataId)
  return { dataId: x.dataId, shape, dtype: x.dtype }
}
