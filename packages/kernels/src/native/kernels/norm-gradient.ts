import type { TensorInfo } from "@tensorflow/tfjs-core"

import type { RmsNormAttrs } from "../../ops/kernel-args.js"
import { checkStatus } from "../status.js"
import type { NativeCall, NativeKernel } from "./kernel.js"

interface Inputs {
  readonly dy: TensorInfo
  readonly x: TensorInfo
  readonly plus?: TensorInfo
}

/** Kernels `RmsNormGrad` and `LayerNormGrad` in C++; neither reads the bias. */
function normGradient(kernel: "RmsNormGrad" | "LayerNormGrad", call: "rmsNormGrad" | "layerNormGrad"): NativeKernel {
  return ({ inputs, attrs, backend, addon }: NativeCall<Inputs, RmsNormAttrs>): TensorInfo => {
    const [rows, d] = inputs.x.shape as [number, number]
    const dx = backend.take(rows * d)
    const [dy, x] = [backend.floats(inputs.dy), backend.floats(inputs.x)]
    const plus = inputs.plus && backend.floats(inputs.plus)
    checkStatus(kernel, addon[call](rows, d, dy, x, attrs.weight, attrs.eps, plus, dx))
    return backend.output(dx, [rows, d])
  }
}

export const rmsNormGradNative = normGradient("RmsNormGrad", "rmsNormGrad")
export const layerNormGradNative = normGradient("LayerNormGrad", "layerNormGrad")
