import type { TensorInfo } from "@tensorflow/tfjs-core"

import type { RopeAttrs } from "../../ops/kernel-args.js"
import { checkStatus } from "../status.js"
import type { NativeCall } from "./kernel.js"

/** Kernel `Rope` in C++, both directions. */
export function ropeNative({ inputs, attrs, backend, addon }: NativeCall<{ x: TensorInfo }, RopeAttrs>): TensorInfo {
  const [rows, width] = inputs.x.shape as [number, number]
  const { headDim, positions, cos, sin, inverse } = attrs
  const y = backend.take(rows * width)
  const shape = [rows, width / headDim, headDim, cos.length / (headDim / 2)] as const
  checkStatus("Rope", addon.rope(...shape, backend.floats(inputs.x), positions, cos, sin, inverse, y))
  return backend.output(y, [rows, width])
}
