import { scaleOf } from "@lamina/protocol"
import type { AdapterModule, ScalingRule } from "@lamina/protocol"

/** The factors of one module in f64. */
export interface Factors {
  readonly rank: number
  /** A, shape (R,N). */
  readonly a: Float64Array
  /** B by columns, shape (R,M). */
  readonly columns: Float64Array
}

/** The alpha and rule a module is to have; its scale s follows from its rank. */
export interface Scaling {
  readonly alpha: number
  readonly scaling: ScalingRule
}

/**
 * sum w_k A_k and sum w_k s_k B_k of one module in f64, factors of lower rank padded with zero rows of A and columns of
 * B. With `sharedA` every A_k must be the beginning of one A, which is kept instead of a sum.
 */
export class FactorSum {
  readonly #size: { readonly name: string; readonly outFeatures: number; readonly inFeatures: number }
  readonly #sharedA: boolean
  #a = new Float64Array(0)
  #columns = new Float64Array(0)
  /** By row: sum of w_k over who has it. */
  #cover = new Float64Array(0)

  constructor({ name, outFeatures, inFeatures }: AdapterModule, { sharedA }: { sharedA: boolean }) {
    this.#size = { name, outFeatures, inFeatures }
    this.#sharedA = sharedA
  }

  get rank(): number {
    return this.#cover.length
  }

  /** Whether A begins as this sum's does, or the other way round. */
  sharesA({ a }: AdapterModule): boolean {
    return a.every((value, i) => i >= this.#a.length || value === this.#a[i])
  }

  add(module: AdapterModule, weight: number): void {
    const { outFeatures } = this.#size
    const { rank, a, b } = module
    if (this.#sharedA && rank > this.rank) this.#a = Float64Array.from(a)
    this.#cover = padded(this.#cover, rank)
    this.#a = padded(this.#a, a.length)
    this.#columns = padded(this.#columns, b.length)
    const scale = weight * scaleOf(module)
    for (let r = 0; r < rank; r++) this.#cover[r] = this.#cover[r]! + weight
    if (!this.#sharedA) for (let i = 0; i < a.length; i++) this.#a[i] = this.#a[i]! + weight * a[i]!
    for (let i = 0; i < outFeatures; i++)
      for (let r = 0; r < rank; r++) {
        const at = r * outFeatures + i
        this.#columns[at] = this.#columns[at]! + scale * b[i * rank + r]!
      }
  }

  /** The averages: sums over `divisor`, B over the scale it is to have. */
  average(divisor: number, target: Scaling): Factors {
    const scale = divisor * scaleOf({ ...target, rank: this.rank })
    return {
      rank: this.rank,
      a: this.#sharedA ? this.#a.slice() : this.#a.map((value) => value / divisor),
      columns: this.#columns.map((value) => value / scale),
    }
  }

  /**
   * The same average of where clients started from: each from the leading rows of the global adapter, as many as it
   * trained and the global adapter had.
   */
  start(global: AdapterModule, divisor: number, target: Scaling): Factors {
    const { outFeatures, inFeatures } = this.#size
    const rank = Math.min(global.rank, this.rank)
    const a = new Float64Array(rank * inFeatures)
    const columns = new Float64Array(rank * outFeatures)
    const scale = scaleOf(global) / scaleOf({ ...target, rank: this.rank })
    for (let r = 0; r < rank; r++) {
      const weight = this.#cover[r]! / divisor
      const weightA = this.#sharedA ? 1 : weight
      for (let j = 0; j < inFeatures; j++) a[r * inFeatures + j] = weightA * global.a[r * inFeatures + j]!
      for (let i = 0; i < outFeatures; i++)
        columns[r * outFeatures + i] = weight * scale * global.b[i * global.rank + r]!
    }
    return { rank, a, columns }
  }

  /** Factors rounded to f32 once, as a module. */
  module({ rank, a, columns }: Factors, { alpha, scaling }: Scaling): AdapterModule {
    return { ...this.#size, rank, alpha, scaling, a: new Float32Array(a), b: interleaved(columns, rank) }
  }
}

/** Columns (R,M) as B (M,R). */
export function interleaved(columns: Float64Array, rank: number): Float32Array {
  const rows = columns.length / rank
  const b = new Float32Array(columns.length)
  for (let r = 0; r < rank; r++) for (let i = 0; i < rows; i++) b[i * rank + r] = columns[r * rows + i]!
  return b
}

function padded(values: Float64Array<ArrayBuffer>, length: number): Float64Array<ArrayBuffer> {
  if (length <= values.length) return values
  const longer = new Float64Array(length)
  longer.set(values)
  return longer
}
