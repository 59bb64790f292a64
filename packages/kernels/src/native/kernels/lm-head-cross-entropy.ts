import type { TensorInfo } from "@tensorflow/tfjs-core"

import type { LmHeadAttrs } from "../../ops/kernel-args.js"
import { checkStatus } from "../status.js"
import { PRECISION, weightArguments } from "./kernel.js"
import type { NativeCall } from "./kernel.js"

/** Kernel `LmHeadCrossEntropy` in C++ (native/lm_head.cpp) -> [loss, accuracy, dx where wanted]. */
export function lmHeadCrossEntropyNative({
  inputs,
  attrs,
  backend,
  addon,
}: NativeCall<{ x: TensorInfo }, LmHeadAttrs>): TensorInfo[] {
  const x = backend.floats(inputs.x)
  const scores = new Float32Array(2)
  const dx = attrs.needsDx ? backend.take(x.length) : undefined
  const { weight, targets, precision } = attrs
  const tokens = inputs.x.shape[0]!
  const answer = addon.lmHead(tokens, PRECISION[precision], ...weightArguments(weight), x, targets, scores, dx)
  checkStatus("LmHeadCrossEntropy", answer)
  const scalars = Array.from(scores, (score) => {
    const value = backend.take(1)
    value[0] = score
    return backend.output(value, [])
  })
  return dx ? [...scalars, backend.output(dx, inputs.x.shape)] : scalars
}
