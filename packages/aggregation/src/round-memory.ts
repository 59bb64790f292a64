import { freshFloats } from "@lamina/kernels/linalg"

/** An array is taken for what needs more than this share of it. */
const SHARE_MIN = 0.5

/**
 * Memory that one round after another is stacked in: the first touch of fresh memory costs more than everything else
 * that stacking does. Who passes one to a strategy (RoundInput) says with `release` when nobody reads that round's
 * result any more. Never for two rounds at a time.
 */
export class RoundMemory {
  #free: Float32Array[] = []
  /** By what they lie in: an array may be given and taken again. */
  readonly #taken = new Map<ArrayBufferLike, Float32Array>()

  /**
   * Keeps what the last round took, up to `bytesMax`, for the next. 0: no longer than its readers do, and without
   * `release`.
   */
  constructor(private readonly bytesMax: number) {}

  /** Undefined content. */
  take(length: number): Float32Array {
    const fits = (whole: Float32Array): boolean => length <= whole.length && SHARE_MIN * whole.length < length
    const [first, ...others] = this.#free.filter(fits)
    const known = first && others.reduce((best, each) => (each.length < best.length ? each : best), first)
    if (known) this.#free.splice(this.#free.indexOf(known), 1)
    const whole = known ?? freshFloats(length)
    if (this.bytesMax > 0) this.#taken.set(whole.buffer, whole)
    return whole.subarray(0, length)
  }

  /** Nobody reads the buffer of `values` any more: this round may take it. */
  give(values: Float32Array): void {
    this.#free.push(new Float32Array(values.buffer))
  }

  /** Nobody reads the round's result any more. What the round did not take of what was kept goes. */
  release(): void {
    let bytes = 0
    this.#free = [...this.#taken.values()].filter(({ byteLength }) => (bytes += byteLength) <= this.bytesMax)
    this.#taken.clear()
  }

  /** Keeps nothing; the result of a round under way stays with its readers. */
  clear(): void {
    this.#free = []
    this.#taken.clear()
  }
}
