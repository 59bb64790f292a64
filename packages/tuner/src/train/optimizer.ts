import { adamw } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"

import type { TrainingSettings } from "../api.js"
import { createSensitivity } from "./sensitivity.js"
import type { Sensitivity } from "./sensitivity.js"

/** One trained array with AdamW's two moments; all but `start` are changed in place. */
export interface Trained {
  readonly param: Float32Array
  readonly m: Float32Array
  readonly v: Float32Array
  /** Values that a proximal term pulls to: those the job started from, resumed or not. */
  readonly start?: Float32Array
  /** Where scores are asked for. */
  readonly sensitivity?: Sensitivity
}

/**
 * A and B of every module in the adapter's order, A first, or B alone with `freezeA`; with zero moments, and what
 * `proximal` and `reportScores` need. `param` is the adapter's own memory.
 */
export function createTrained(
  adapter: Adapter,
  settings: Pick<TrainingSettings, "freezeA" | "proximal" | "reportScores"> = {},
): Trained[] {
  const { freezeA = false, proximal = 0, reportScores = false } = settings
  return adapter.modules.flatMap(({ a, b }) =>
    (freezeA ? [b] : [a, b]).map((param) => ({
      param,
      m: new Float32Array(param.length),
      v: new Float32Array(param.length),
      ...(proximal > 0 && { start: param.slice() }),
      ...(reportScores && { sensitivity: createSensitivity(param.length) }),
    })),
  )
}

/** Gradients with mu (w - w_start) added, in new arrays; FedProx (arXiv:1812.06127), the gradient of its equation 2. */
export function withProximal(
  trained: readonly Trained[],
  gradients: readonly Float32Array[],
  mu: number,
): Float32Array[] {
  return trained.map(({ param, start }, i) => {
    const sum = Float32Array.from(gradients[i] as Float32Array)
    if (start === undefined) throw new Error("a proximal term without its start")
    for (let j = 0; j < sum.length; j++) sum[j]! += mu * (param[j]! - start[j]!)
    return sum
  })
}

/** L2 norm over all arrays together, summed in f64 in the order given. */
export function globalNorm(arrays: readonly Float32Array[]): number {
  let sumOfSquares = 0
  for (const array of arrays) for (let i = 0; i < array.length; i++) sumOfSquares += (array[i] as number) ** 2
  return Math.sqrt(sumOfSquares)
}

/**
 * Factor that brings a gradient of this norm to at most `clipNorm`, as torch's clip_grad_norm_ computes it; clipNorm
 * 0: no clipping.
 */
export function clipFactor(norm: number, clipNorm: number): number {
  return clipNorm === 0 ? 1 : Math.min(1, clipNorm / (norm + 1e-6))
}

/**
 * One AdamW step over everything trained: betas 0.9 and 0.999, eps 1e-8, decoupled decay on A and B alike (Loshchilov
 * & Hutter 2019, arXiv:1711.05101). `gradients` in the order of `trained`, each multiplied by `gradScale` first;
 * `step` is 1 for the first.
 */
export function optimizerStep(
  trained: readonly Trained[],
  gradients: readonly Float32Array[],
  args: { weightDecay: number; learningRate: number; gradScale: number; step: number },
): void {
  for (const [i, { param, m, v }] of trained.entries())
    adamw({
      ...{
        param,
        m,
        v,
        grad: gradients[i] as Float32Array,
        learningRate: args.learningRate,
        gradScale: args.gradScale,
      },
      ...{ beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: args.weightDecay, step: args.step },
    })
}
