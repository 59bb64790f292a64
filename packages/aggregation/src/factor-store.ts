import { copyFloats, freshFloats, matrixOf, placeFactors, placeFactorsProbed } from "@lamina/kernels/linalg"
import type { FactorBlocks, Matrix } from "@lamina/kernels/linalg"
import type { AdapterModule } from "@lamina/protocol"

import { newScratches } from "./module-factors.js"
import type { FactorScratches } from "./module-factors.js"
import type { RoundMemory } from "./round-memory.js"
import { probedStack, stackedModule } from "./taken-stack.js"
import type { StackedModule } from "./taken-stack.js"

/** Ranks whose factors are in f64 at one time: 16 MB for each of A and B at 4,096 features. */
const GROUP_RANKS = 512

/**
 * Factors of one module as clients sent them, one block after another in two arrays, and what each block counts. The
 * values are copied as they arrive; nothing is rounded before it is read out.
 */
export class FactorStore {
  readonly #m: number
  readonly #n: number
  #ranks: number[] = []
  #scales: number[] = []
  #rank = 0
  #a: Float32Array
  #b: Float32Array

  /** `rankExpected`: room from the start; more is made by copying what is there. */
  constructor({ outFeatures, inFeatures }: Pick<AdapterModule, "outFeatures" | "inFeatures">, rankExpected: number) {
    this.#m = outFeatures
    this.#n = inFeatures
    this.#a = freshFloats(rankExpected * inFeatures)
    this.#b = freshFloats(rankExpected * outFeatures)
  }

  /** Sum of the ranks of all blocks. */
  get rank(): number {
    return this.#rank
  }

  /** Copies the module's factors; they count `scale`·B·A. */
  append({ rank, a, b }: AdapterModule, scale: number): void {
    const before = this.#rank
    this.#rank += rank
    this.#a = withRoom(this.#a, before * this.#n, this.#rank * this.#n)
    this.#b = withRoom(this.#b, before * this.#m, this.#rank * this.#m)
    copyFloats(a, this.#a.subarray(before * this.#n, this.#rank * this.#n))
    copyFloats(b, this.#b.subarray(before * this.#m, this.#rank * this.#m))
    this.#ranks.push(rank)
    this.#scales.push(scale)
  }

  /** Every block counts `divisor` times less. */
  divide(divisor: number): void {
    this.#scales = this.#scales.map((scale) => scale / divisor)
  }

  /** Rows scale_k·A_k and columns B_k in the order appended, A rounded to f32 once, as a module of scale 1. */
  stack(name: string): AdapterModule {
    const into = { a: freshFloats(this.#rank * this.#n), b: freshFloats(this.#m * this.#rank) }
    placeFactors(this.#blocks(0, this.#ranks.length, this.#scales), { at: 0, total: this.#rank, into })
    return this.#module(name, into)
  }

  /**
   * The same, in the memory of this store and of `memory`: the store is not to be used any more. With it
   * ||B·E||_F / ||B·A||_F, E what rounding did to A, estimated by sign probes on the way (placeFactorsProbed).
   */
  take(name: string, memory: RoundMemory): StackedModule {
    const blocks = this.#blocks(0, this.#ranks.length, this.#scales)
    const into = { a: blocks.a, b: memory.take(this.#m * this.#rank) }
    const energies = placeFactorsProbed(blocks, { at: 0, total: this.#rank, into })
    memory.give(this.#b)
    return probedStack(this.#module(name, into), energies)
  }

  #module(name: string, factors: { a: Float32Array; b: Float32Array }): AdapterModule {
    return stackedModule({ name, outFeatures: this.#m, inFeatures: this.#n, rank: this.#rank }, factors)
  }

  /** All columns B_k (M,R) and rows scale_k·A_k (R,N) in f64. */
  matrices(): { b: Matrix; a: Matrix } {
    return this.#matrices(0, this.#ranks.length, newScratches())
  }

  /** The same in pieces of a few hundred ranks, of which one at a time is in memory, that of `into`. */
  *pieces(into: FactorScratches): Generator<{ b: Matrix; a: Matrix }> {
    for (let from = 0, to = 0; from < this.#ranks.length; from = to) {
      let rank = this.#ranks[to++]!
      while (to < this.#ranks.length && rank + this.#ranks[to]! <= GROUP_RANKS) rank += this.#ranks[to++]!
      yield this.#matrices(from, to, into)
    }
  }

  /** Nothing was appended; the room stays. */
  clear(): void {
    this.#ranks = []
    this.#scales = []
    this.#rank = 0
  }

  #matrices(from: number, to: number, into: FactorScratches): { b: Matrix; a: Matrix } {
    const blocks = this.#blocks(from, to, new Array<number>(to - from).fill(1))
    const rank = sumOf(blocks.ranks)
    const placed = into.a.takeFloats(blocks.a.length + blocks.b.length)
    const columns = placed.subarray(blocks.a.length)
    placeFactors(blocks, { at: 0, total: rank, into: { a: placed.subarray(0, blocks.a.length), b: columns } })
    const b = matrixOf(columns, { rows: this.#m, cols: rank, scale: 1 }, into.b)
    // B is in memory of its own now
    const a = { rows: rank, cols: this.#n, data: into.a.take(rank * this.#n) }
    let row = 0
    for (const [k, rows] of blocks.ranks.entries()) {
      const place = { take: (length: number) => a.data.subarray(row * this.#n, row * this.#n + length) }
      const values = blocks.a.subarray(row * this.#n, (row + rows) * this.#n)
      matrixOf(values, { rows, cols: this.#n, scale: this.#scales[from + k]! }, place)
      row += rows
    }
    return { b, a }
  }

  #blocks(from: number, to: number, scales: readonly number[]): FactorBlocks {
    const ranks = Int32Array.from(this.#ranks.slice(from, to))
    const [first, count] = [sumOf(this.#ranks.slice(0, from)), sumOf(ranks)]
    return {
      ...{ rows: this.#m, cols: this.#n, ranks, scales: Float64Array.from(scales) },
      a: this.#a.subarray(first * this.#n, (first + count) * this.#n),
      b: this.#b.subarray(first * this.#m, (first + count) * this.#m),
    }
  }
}

/** `values` where `length` of them have room, else as many again, with the first `used` copied. */
function withRoom(values: Float32Array, used: number, length: number): Float32Array {
  if (length <= values.length) return values
  const longer = freshFloats(Math.max(length, 2 * values.length))
  copyFloats(values.subarray(0, used), longer.subarray(0, used))
  return longer
}

function sumOf(numbers: Iterable<number>): number {
  let total = 0
  for (const number of numbers) total += number
  return total
}
