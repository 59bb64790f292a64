import { compareNames, scaleOf } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"

import { interleaved } from "./factor-sum.js"
import type { Factors, Scaling } from "./factor-sum.js"
import type { ServerOptimizer } from "./strategy.js"

/** Both moments of one kind of factor. */
interface Moments {
  readonly first: Float64Array
  readonly second: Float64Array
}

/**
 * FedOpt on averaged factors, Reddi et al. 2021 (arXiv:2003.00295), algorithm 2. With the pseudo-gradient
 * d = average of the clients' results - average of their starts, element by element:
 *
 * - `adam`: m <- b1 m + (1 - b1) d, v <- b2 v + (1 - b2) d², x = start + lr m / (sqrt(v) + tau)
 * - `yogi`: the same with v <- v - (1 - b2) d² sign(v - d²)
 * - `avgm`: m <- b1 m + d, x = start + lr m (FedAvgM, Hsu et al. 2019, arXiv:1909.06335; lr 1 and b1 0 is the average)
 *
 * Moments begin at m = 0 and v = tau², as there. Rows that began this round (in the first round all of them) are taken
 * as averaged: their start was drawn on the clients. Moments are kept in f32, B's in units of the module's scale.
 */
export class ServerSteps {
  readonly #optimizer: ServerOptimizer
  readonly #before: Map<string, AdapterModule>
  readonly #after: AdapterModule[] = []

  constructor(optimizer: ServerOptimizer, state: Adapter | undefined) {
    this.#optimizer = optimizer
    this.#before = new Map((state?.modules ?? []).map((module) => [module.name, module]))
  }

  /**
   * The factors after the step; `average` itself without an optimizer or a start. `stepA`: false leaves A as averaged.
   * `target` is the scaling of `average` and `start`.
   */
  step(
    average: Factors,
    start: Factors | undefined,
    { module, target, stepA }: { module: AdapterModule; target: Scaling; stepA: boolean },
  ): Factors {
    if (this.#optimizer.name === "none" || !start) return average
    const { rank } = average
    const { name, outFeatures, inFeatures } = module
    const { alpha, scaling } = target
    const recalled = [`${name}#m`, `${name}#v`].map((key) => this.#before.get(key))
    const scale = scaleOf({ alpha, scaling, rank })
    const a = this.#moments(recalled, rank * inFeatures, ({ a: values }) => values)
    const columns = this.#moments(recalled, rank * outFeatures, (kept, power) => {
      const ratio = (scaleOf(kept) / scale) ** power
      return columnsOf(kept).map((value) => value * ratio)
    })
    const stepped = {
      rank,
      a: stepA ? this.#stepped(average.a, start.a, a) : average.a,
      columns: this.#stepped(average.columns, start.columns, columns),
    }
    const keep = (suffix: string, kind: keyof Moments): void => {
      const values = { a: new Float32Array(a[kind]), b: interleaved(columns[kind], rank) }
      const key = `${name}#${suffix}`
      this.#before.delete(key)
      this.#after.push({ name: key, outFeatures, inFeatures, rank, alpha, scaling, ...values })
    }
    keep("m", "first")
    if (this.#optimizer.name !== "avgm") keep("v", "second")
    return stepped
  }

  /** The moments as an adapter: modules `NAME#m` and, where the optimizer has one, `NAME#v`; unstepped ones stay. */
  state(): Adapter | undefined {
    const modules = [...this.#before.values(), ...this.#after]
    if (this.#optimizer.name === "none" || modules.length === 0) return undefined
    return { modules: modules.sort((left, right) => compareNames(left.name, right.name)) }
  }

  #moments(
    [first, second]: readonly (AdapterModule | undefined)[],
    length: number,
    values: (kept: AdapterModule, power: 1 | 2) => Float32Array,
  ): Moments {
    const moments = {
      first: new Float64Array(length),
      second: new Float64Array(length).fill(this.#optimizer.tau ** 2),
    }
    if (first) moments.first.set(values(first, 1).subarray(0, length))
    if (second) moments.second.set(values(second, 2).subarray(0, length))
    return moments
  }

  /** Steps the first values, as many as have a start, and updates their moments. */
  #stepped(average: Float64Array, start: Float64Array, { first, second }: Moments): Float64Array {
    const { name, learningRate, beta1, beta2, tau } = this.#optimizer
    const result = average.slice()
    for (let i = 0; i < start.length; i++) {
      const d = average[i]! - start[i]!
      const m = beta1 * first[i]! + (name === "avgm" ? d : (1 - beta1) * d)
      first[i] = m
      if (name === "avgm") {
        result[i] = start[i]! + learningRate * m
        continue
      }
      const v = second[i]!
      const next = name === "adam" ? beta2 * v + (1 - beta2) * d * d : v - (1 - beta2) * d * d * Math.sign(v - d * d)
      second[i] = next
      result[i] = start[i]! + (learningRate * m) / (Math.sqrt(next) + tau)
    }
    return result
  }
}

/** B (M,R) by columns (R,M). */
function columnsOf({ b, rank, outFeatures }: AdapterModule): Float32Array {
  const columns = new Float32Array(b.length)
  for (let i = 0; i < outFeatures; i++) for (let r = 0; r < rank; r++) columns[r * outFeatures + i] = b[i * rank + r]!
  return columns
}
