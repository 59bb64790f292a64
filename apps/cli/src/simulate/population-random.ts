import { nameHash, threefry } from "@lamina/tuner"

/**
 * A stream of random numbers of its own for every (seed, name): value i is threefry of key (seed, hash of the name) and
 * counter i, so that what one stream is asked changes no other. Only IEEE arithmetic, square roots, logarithms and
 * exponentials behind it.
 */
export class RandomStream {
  readonly #key: readonly [number, number]
  #drawn = 0

  constructor(seed: number, name: string) {
    this.#key = [seed, nameHash(name)]
  }

  /** Uniform in (0, 1): 53 bits of one counter, half a unit up so that it is never 0. */
  uniform(): number {
    const [high, low] = threefry(this.#key, [this.#drawn % 2 ** 32, Math.floor(this.#drawn / 2 ** 32)])
    this.#drawn += 1
    return ((high >>> 5) * 2 ** 26 + (low >>> 6) + 0.5) / 2 ** 53
  }

  /** The values in another order, every order as likely (Fisher and Yates; Durstenfeld 1964, algorithm 235). */
  shuffled<T>(values: readonly T[]): T[] {
    const order = [...values]
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(this.uniform() * (i + 1))
      ;[order[i], order[j]] = [order[j] as T, order[i] as T]
    }
    return order
  }

  /** `count` shares that sum to 1, Dirichlet(alpha, ..., alpha): Gamma(alpha) draws over their sum. */
  dirichlet(alpha: number, count: number): number[] {
    const logs = Array.from({ length: count }, () => this.#logGamma(alpha))
    const largest = logs.reduce((most, log) => Math.max(most, log), -Infinity)
    const parts = logs.map((log) => Math.exp(log - largest)) // in logarithms: a small alpha underflows
    const total = parts.reduce((sum, part) => sum + part, 0)
    return parts.map((part) => part / total)
  }

  /**
   * ln of a Gamma(shape, 1) draw: Marsaglia & Tsang 2000 ("A simple method for generating gamma variables", section 5)
   * for shapes of at least 1; below, Gamma(shape + 1) · U^(1/shape) as they say in section 6.
   */
  #logGamma(shape: number): number {
    if (shape < 1) return this.#logGamma(shape + 1) + Math.log(this.uniform()) / shape
    const d = shape - 1 / 3
    const c = 1 / Math.sqrt(9 * d)
    for (;;) {
      const x = this.#normal()
      const v = (1 + c * x) ** 3
      if (v > 0 && Math.log(this.uniform()) < (x * x) / 2 + d - d * v + d * Math.log(v)) return Math.log(d * v)
    }
  }

  /** Marsaglia's polar method (1964), one of its two values. */
  #normal(): number {
    for (;;) {
      const [x, y] = [2 * this.uniform() - 1, 2 * this.uniform() - 1]
      const square = x * x + y * y
      if (square < 1 && square > 0) return x * Math.sqrt((-2 * Math.log(square)) / square)
    }
  }
}
