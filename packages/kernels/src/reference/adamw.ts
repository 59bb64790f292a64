import type * as tf from "@tensorflow/tfjs-core"

import type { AdamwArgs } from "../ops/kernel-args.js"

/**
 * Kernel `AdamW`, in place on plain arrays. Loshchilov & Hutter 2019 (arXiv:1711.05101), algorithm 2, in the order
 * torch.optim.AdamW has:
 *   p <- p·(1 - lr·wd);  m <- b1·m + (1-b1)·g;  v <- b2·v + (1-b2)·g²;  p <- p - lr · (m / (1-b1^t)) / (sqrt(v /
 *   (1-b2^t)) + eps)
 * Computed in doubles, rounded to f32 where stored.
 */
export function adamwReference(_inputs: object, args: AdamwArgs): tf.Tensor[] {
  const { param, grad, m, v, learningRate, beta1, beta2, eps, weightDecay, step, gradScale } = args
  const correction1 = 1 - beta1 ** step
  const correction2 = 1 - beta2 ** step
  for (let i = 0; i < param.length; i++) {
    const g = grad[i]! * gradScale
    m[i] = beta1 * m[i]! + (1 - beta1) * g
    v[i] = beta2 * v[i]! + (1 - beta2) * g * g
    const decayed = param[i]! * (1 - learningRate * weightDecay)
    param[i] = decayed - (learningRate * (m[i]! / correction1)) / (Math.sqrt(v[i]! / correction2) + eps)
  }
  return []
}
