import type { KeepAttrs, KeptAttrs } from "@lamina/kernels"
import type * as tf from "@tensorflow/tfjs-core"

import type { BlockActivations } from "./block.js"
import { runKernel } from "./run-kernel.js"

/**
 * Activations that attention rounds anyway, or that only meet a rounded product: they wait for the gradient in half the
 * memory where the precision rounds.
 */
const HALVED = ["q", "k", "v", "attended"] as const

/** One pass's activations while they wait for the gradient, as tfjs keeps them: a list of tensors. */
export interface Waiting {
  readonly tensors: tf.Tensor[]
  /** The activations again, from the tensors tfjs gives back. Takes these over. */
  readonly back: (tensors: readonly tf.Tensor[]) => BlockActivations
}

export function waiting(activations: BlockActivations, { precision }: KeepAttrs): Waiting {
  const kept: Record<string, tf.Tensor> = { ...activations }
  for (const name of HALVED) kept[name] = runKernel("Keep", { x: activations[name] }, { precision })[0]!
  const shapes = HALVED.map((name) => activations[name].shape)
  const names = Object.keys(kept)
  return {
    tensors: Object.values(kept),
    back: (tensors) => {
      const again = Object.fromEntries(names.map((name, i) => [name, tensors[i]!]))
      for (const [i, name] of HALVED.entries()) {
        const attrs: KeptAttrs = { precision, shape: shapes[i]! }
        const whole = runKernel("Kept", { x: again[name]! }, attrs)[0]!
        again[name]!.dispose()
        again[name] = whole
      }
      return again as unknown as BlockActivations
    },
  }
}
