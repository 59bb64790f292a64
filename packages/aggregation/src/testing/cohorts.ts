import { scaleOf } from "@lamina/protocol"
import type { Adapter, AdapterModule, ScalingRule, Update } from "@lamina/protocol"

/** Uniform values in -1..1 from a seed (mulberry32). */
export function seededValues(seed: number): (length: number) => Float32Array {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1
  }
  return (length) => Float32Array.from({ length }, next)
}

/** Everything about a module but its values. */
interface ModuleSize {
  readonly name?: string
  readonly outFeatures: number
  readonly inFeatures: number
  readonly rank: number
  readonly alpha?: number
  readonly scaling?: ScalingRule
}

/** A module of seeded values; alpha is the rank unless given. */
export function randomModule(size: ModuleSize, seed: number): AdapterModule {
  const { name = "q_proj", outFeatures, inFeatures, rank, alpha = rank, scaling = "lora" } = size
  const values = seededValues(seed)
  return {
    ...{ name, outFeatures, inFeatures, rank, alpha, scaling },
    ...{ a: values(rank * inFeatures), b: values(outFeatures * rank) },
  }
}

export function adapterOf(...modules: AdapterModule[]): Adapter {
  return { modules }
}

/** s·B·A (M,N) in f64. */
export function denseOf(module: AdapterModule): Float64Array {
  const { outFeatures, inFeatures, rank, a, b } = module
  const scale = scaleOf(module)
  const dense = new Float64Array(outFeatures * inFeatures)
  for (let i = 0; i < outFeatures; i++)
    for (let r = 0; r < rank; r++)
      for (let j = 0; j < inFeatures; j++)
        dense[i * inFeatures + j]! += scale * b[i * rank + r]! * a[r * inFeatures + j]!
  return dense
}

/** dW* of one module: sum p_k s_k B_k A_k over the clients that have it, p_k over all of them, formed densely. */
export function denseTarget(updates: readonly Update[], name: string): Float64Array {
  const total = updates.reduce((sum, { weight }) => sum + weight, 0)
  let target: Float64Array | undefined
  for (const { weight, adapter } of updates) {
    const module = adapter.modules.find((candidate) => candidate.name === name)
    if (!module) continue
    const dense = denseOf(module)
    target ??= new Float64Array(dense.length)
    for (let i = 0; i < dense.length; i++) target[i]! += (weight / total) * dense[i]!
  }
  return target!
}

/** ||got - want||_F / ||want||_F, element by element. */
export function denseError(got: Float64Array, want: Float64Array): number {
  let distance = 0
  let size = 0
  for (let i = 0; i < want.length; i++) {
    distance += (got[i]! - want[i]!) ** 2
    size += want[i]! ** 2
  }
  return distance === 0 ? 0 : Math.sqrt(distance / size)
}
