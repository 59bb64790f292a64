import { energiesOfTaken, PRODUCTS_PER_ROW } from "@lamina/kernels/linalg"
import type { ClientFactors, TakenFactors } from "@lamina/kernels/linalg"
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
 * The stack of one module while its ranks arrive: rows of A and columns of B go to their places once and for all. For
 * at least PROBED_COLUMNS input features.
 */
export class TakenStack {
  readonly #size: StackSize
  #rank = 0
  readonly #a: Float32Array
  readonly #b: Float32Array
  /** What probes come to in the ranks that are there; undefined where none are. */
  #products: Float32Array | undefined
  #nextProducts: Float32Array

  /** `rank`: no more will come, over all clients. */
  constructor(
    { name, outFeatures, inFeatures, rank }: StackSize,
    private readonly memory: RoundMemory,
  ) {
    this.#size = { name, outFeatures, inFeatures, rank }
    this.#a = memory.take(rank * inFeatures)
    this.#b = memory.take(rank * outFeatures)
    this.#nextProducts = memory.take(outFeatures * PRODUCTS_PER_ROW)
  }

  /** Where factors of some clients go (takeFactors), behind those that count; they do once `commit` was called. */
  place(clients: readonly ClientFactors[]): TakenFactors {
    const { outFeatures: rows, inFeatures: cols, rank: total } = this.#size
    const products = { before: this.#products, after: this.#nextProducts }
    return { rows, cols, clients, at: this.#rank, total, into: { a: this.#a, b: this.#b }, products }
  }

  /** What was placed last, of `rank` in all, is there. */
  commit(rank: number): void {
    this.#rank += rank
    const spare = this.#products ?? this.memory.take(this.#nextProducts.length)
    this.#products = this.#nextProducts
    this.#nextProducts = spare
  }

  /**
   * The stack, in this one's memory, and the rounding estimated as ExactSum.takeStack does; not to be used any more.
   * Undefined where no ranks came.
   */
  finish(): StackedModule | undefined {
    const { outFeatures: rows, inFeatures: cols } = this.#size
    const [rank, products] = [this.#rank, this.#products]
    if (!products) return undefined
    const energies = energiesOfTaken({ rows, rank }, products)
    const [a, b] = [this.#a.subarray(0, rank * cols), this.#narrow()]
    return probedStack(stackedModule({ ...this.#size, rank }, { a, b }), energies)
  }

  /** B (M,R), moved together where fewer ranks came than could. */
  #narrow(): Float32Array {
    const { outFeatures: rows, rank: total } = this.#size
    const rank = this.#rank
    for (let i = 1; rank < total && i < rows; i++) this.#b.copyWithin(i * rank, i * total, i * total + rank)
    return this.#b.subarray(0, rows * rank)
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
