import { LaminaError } from "@lamina/protocol/errors"
import type { Adapter } from "@lamina/protocol"

import type { TrainingSettings } from "../api.js"
import type { TokenBatch } from "../data/batches.js"
import type { Decoder } from "../model/decoder.js"
import { withGradients } from "./gradients.js"
import type { Pass } from "./gradients.js"
import { clipFactor, globalNorm, optimizerStep, withProximal } from "./optimizer.js"
import type { Trained } from "./optimizer.js"
import { learningRateAt } from "./schedule.js"
import { observe } from "./sensitivity.js"

/** What a step changes, and what it needs to do so. */
export interface TrainingState {
  readonly model: Decoder
  readonly settings: TrainingSettings
  readonly adapter: Adapter
  /** The adapter's own arrays that are trained (createTrained), in its order. */
  readonly trained: readonly Trained[]
}

/**
 * One optimizer step over `micro`, which counts as one batch: every predicted token weighs the same, whatever
 * micro-batch it is in. `step` counts from 0. Returns the mean loss over the predicted tokens before the step.
 * TRAINING_DIVERGED, with nothing changed, when the loss or the gradient is not finite.
 */
export function trainingStep(state: TrainingState, micro: readonly TokenBatch[], step: number): number {
  const total = micro.reduce((sum, { predicted }) => sum + predicted, 0)
  const passes = micro.map((rows, i): Pass => {
    const { dropout, seed, freezeA, gradientCheckpointing } = state.settings
    return {
      model: state.model,
      adapter: state.adapter,
      rows,
      dropout,
      seed,
      freezeA,
      gradientCheckpointing,
      pass: step * state.settings.accumulate + i,
    }
  })
  if (passes.length === 1) {
    let mean = 0
    withGradients(passes[0] as Pass, (loss, gradients) => {
      mean = loss
      apply(state, { gradients, loss, step })
    })
    return mean
  }
  const sums = state.trained.map(({ param }) => new Float32Array(param.length))
  let mean = 0
  for (const [i, pass] of passes.entries()) {
    const share = (micro[i] as TokenBatch).predicted / total
    withGradients(pass, (loss, gradients) => {
      mean += share * loss
      for (const [j, sum] of sums.entries()) addScaled(sum, gradients[j] as Float32Array, share)
    })
  }
  apply(state, { gradients: sums, loss: mean, step })
  return mean
}

function apply(
  { settings, trained }: TrainingState,
  { gradients, loss, step }: { gradients: readonly Float32Array[]; loss: number; step: number },
): void {
  const mu = settings.proximal ?? 0
  const pulled = mu > 0 ? withProximal(trained, gradients, mu) : gradients
  const norm = globalNorm(pulled)
  if (!Number.isFinite(loss) || !Number.isFinite(norm))
    throw new LaminaError(
      "TRAINING_DIVERGED",
      `step ${step + 1}: expected a finite loss and gradient, got ${loss} and norm ${norm}`,
      {
        hint: "lower training.learningRate, or set training.clipNorm",
      },
    )
  const learningRate = learningRateAt(step, settings)
  const args = { weightDecay: settings.weightDecay, learningRate, gradScale: clipFactor(norm, settings.clipNorm) }
  for (const [i, { param, sensitivity }] of trained.entries())
    if (sensitivity) observe(sensitivity, param, gradients[i] as Float32Array)
  optimizerStep(trained, pulled, { ...args, step: step + 1 })
}

function addScaled(sum: Float32Array, values: Float32Array, factor: number): void {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + factor * (values[i] as number)
}
