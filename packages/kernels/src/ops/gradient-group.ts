import * as tf from "@tensorflow/tfjs-core"

/**
 * tfjs asks for the gradient of every input by a call of its own, while one kernel computes them all. The first call
 * computes, and keeps the other gradients outside tfjs's scopes until their calls claim them. Inputs that need no
 * gradient are pruned from the tape and never ask: what nobody claimed is disposed by `releaseUnclaimedGradients`.
 */
const unclaimed = new Set<tf.Tensor>()

/**
 * The map of thunks a tfjs gradient function returns. `compute` is called at most once, with the name of the input that
 * asked first (tfjs asks in the order of the kernel's inputs), and returns the gradients by name.
 */
export function gradientGroup<Name extends string>(
  names: readonly Name[],
  compute: (first: Name) => Partial<Record<Name, tf.Tensor>>,
): Record<Name, () => tf.Tensor> {
  const waiting = new Map<Name, tf.Tensor>()
  let computed = false

  function ask(name: Name): tf.Tensor {
    if (computed) return claim(waiting, name)
    computed = true
    const gradients = compute(name)
    for (const other of names) {
      const gradient = gradients[other]
      if (other === name || !gradient) continue
      waiting.set(other, tf.keep(gradient))
      unclaimed.add(gradient)
    }
    return gradients[name]!
  }

  const thunks = names.map((name) => [name, () => ask(name)] as const)
  return Object.fromEntries(thunks) as Record<Name, () => tf.Tensor>
}

/** A kept tensor never enters a scope again, so its claimant gets a second handle on the same data. */
function claim<Name extends string>(waiting: Map<Name, tf.Tensor>, name: Name): tf.Tensor {
  const kept = waiting.get(name)
  if (!kept) throw new Error(`the gradient of ${name} was claimed twice or not computed`)
  const gradient = tf.clone(kept)
  waiting.delete(name)
  unclaimed.delete(kept)
  kept.dispose()
  return gradient
}

/**
 * Disposes gradients that were computed but that no input asked for. A training loop calls it after each backward pass.
 */
export function releaseUnclaimedGradients(): void {
  for (const gradient of unclaimed) gradient.dispose()
  unclaimed.clear()
}
