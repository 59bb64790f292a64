import { interleaveProbed, SUMS_PER_ROW } from "@lamina/kernels/linalg"
import type { TakenFactors } from "@lamina/kernels/linalg"
import type { AdapterModule } from "@lamina/protocol"

import { normOf } from "./module-factors.js"
import type { RoundMemory } from "./round-memory.js"
import { relativeTo } from "./strategy.js"

/** Columns of A below which norms are computed instead of estimated: their QR takes milliseconds there. */
export const PROBED_COLUMNS = 256

/** Rounding to f32 is 2^-24 = 6e-8 of each value; a stack comes to more than 1e-6 only where its terms cancel. */
const PLAUSIBLE = 1e-6

/** A stack of scale 1, and what rounding A to f32 did to B·A, relative to it. */
export interface StackedModule {
  readonly module: AdapterModule
  readonly relativeError: number
}

/** Everything about a module but its values, alpha and scaling. */
type StackSize = Pick<AdapterModule, "name" | "outFeatures" | "inFeatures" | "rank">

/**
 * The stack of one module while its ranks arrive: rows of A go to their places scaled and rounded, once and for all;
 * columns of B wait block by block until all are there. For at least PROBED_COLUMNS input features.
 */
export class TakenStack {
  readonly #size: Omit<StackSize, "rank">
  readonly #ranks: number[] = []
  #rank = 0
  readonly #a: Float32Array
  readonly #b: Float32Array
  readonly #sums: Float64Array

  /** `rank`: no more will come, over all clients. */
  constructor(
    { name, outFeatures, inFeatures, rank }: StackSize,
    private readonly memory: RoundMemory,
  ) {
    this.#size = { name, outFeatures, inFeatures }
    this.#a = memory.take(rank * inFeatures)
    this.#b = memory.take(rank * outFeatures)
    this.#sums = new Float64Array(rank * SUMS_PER_ROW)
  }

  /** Where a client's factors go (takeFactors), behind those that count; they do once `commit` was called. */
  place({ rank, a, b }: AdapterModule, scale: number): TakenFactors {
    const { outFeatures: rows, inFeatures: cols } = this.#size
    const [from, to] = [this.#rank, this.#rank + rank]
    const into = {
      a: this.#a.subarray(from * cols, to * cols),
      b: this.#b.subarray(from * rows, to * rows),
      sums: this.#sums.subarray(from * SUMS_PER_ROW, to * SUMS_PER_ROW),
    }
    return { rows, cols, rank, scale, a, b, into }
  }

  /** What was placed last is there. */
  commit(rank: number): void {
    this.#ranks.push(rank)
    this.#rank += rank
  }

  /**
   * The stack, in this one's memory, and the rounding estimated as ExactSum.takeStack does; not to be used any more.
   * Undefined where no ranks came.
   */
  finish(): StackedModule | undefined {
    const [rank, { outFeatures: rows, inFeatures: cols }] = [this.#rank, this.#size]
    const b = this.memory.take(rows * rank)
    const blocks = {
      ...{ rows, ranks: Int32Array.from(this.#ranks), b: this.#b.subarray(0, rows * rank) },
      sums: this.#sums.subarray(0, rank * SUMS_PER_ROW),
    }
    const energies = interleaveProbed(blocks, b)
    this.memory.give(this.#b)
    if (rank === 0) return undefined
    return probedStack(stackedModule({ ...this.#size, rank }, { a: this.#a.subarray(0, rank * cols), b }), energies)
  }
}

/** A module of scale 1 (alpha = rank). */
export function stackedModule(size: StackSize, factors: { a: Float32Array; b: Float32Array }): AdapterModule {
  return { ...size, alpha: size.rank, scaling: "lora", ...factors }
}

/**
 * With ||B·E||_F / ||B·A||_F from estimates of both squares. Above PLAUSIBLE the probes are too unlucky with B·A, and
 * its norm is computed.
 */
export function probedStack(
  module: AdapterModule,
  { size, rounding }: { readonly size: number; readonly rounding: number },
): StackedModule {
  const norm = rounding > PLAUSIBLE ** 2 * size ? normOf(module) : Math.sqrt(size)
  return { module, relativeError: relativeTo(norm, Math.sqrt(rounding)) }
}

/** Zero in A and B. */
export function isZero({ a, b }: AdapterModule): boolean {
  return [a, b].every((values) => values.every((value) => value === 0))
}
