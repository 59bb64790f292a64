import type { TensorInfo } from "@tensorflow/tfjs-core"

import type { LmHeadAttrs } from "../../ops/kernel-args.js"
import { checkStatus } from "../status.js"
import { PRECISION, weightArguments } from "./kernel.js"
import type { NativeCall } from "./kernel.js"

/** Kernel `LmHeadCrossEntropy` in C++ (native/lm_head.cpp) -> [loss, dx where wanted]. */
export function lmHeadCrossEntropyNative({
  inputs,
  attrs,
  backend,
  addon,
}: NativeCall<{ x: TensorInfo }, LmHeadAttrs>): TensorInfo[] {
  const x = backend.floats(inputs.x)
  const loss = backend.take(1)
  const dx = attrs.needsDx ? backend.take(x.length) : undefined
  const { weight, targets, precision } = attrs
  const tokens = inputs.x.shape[0]!
  const answer = addon.lmHead(tokens, PRECISION[precision], ...weightArguments(weight), x, targets, loss, dx)
  checkStatus("LmHeadCrossEntropy", answer)
  const scalar = backend.output(loss, [])
  return dx ? [scalar, backend.output(dx, inputs.x.shape)] : [scalar]
}
