import type { TensorInfo } from "@tensorflow/tfjs-core"

import type { AdamwArgs } from "../../ops/kernel-args.js"
import { checkStatus } from "../status.js"
import type { NativeCall } from "./kernel.js"

/** Kernel `AdamW` in C++, in place; f32 throughout but for the bias corrections. */
export function adamwNative({ attrs, addon }: NativeCall<object, AdamwArgs>): TensorInfo[] {
  const { param, grad, m, v, learningRate, beta1, beta2, eps, weightDecay, step, gradScale } = attrs
  const answer = addon.adamw(param, grad, m, v, learningRate, beta1, beta2, eps, weightDecay, step, gradScale)
  checkStatus("AdamW", answer)
  return []
}
