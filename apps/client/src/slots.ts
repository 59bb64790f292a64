/** So many pieces of work at once, by all clients of a process; the others wait in the order in which they came. */
export class Slots {
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(count: number) {
    this.#free = count
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    const leave = await this.enter()
    try {
      return await work()
    } finally {
      leave()
    }
  }

  /** A slot of its own until the result is called; again: a no-op. */
  async enter(): Promise<() => void> {
    if (this.#free > 0) this.#free -= 1
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    let here = true
    return () => {
      if (!here) return
      here = false
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free += 1
    }
  }
}
