/** Where virtual time begins: 2026-01-01T00:00:00Z. Any fixed instant would do; deadlines are absolute. */
export const VIRTUAL_START_MS = Date.UTC(2026, 0, 1)

interface Timer {
  readonly atMs: number
  readonly work: () => void
}

/** Time that moves only when the simulation says so. Coordinator and clients read it as if it were the system's. */
export class VirtualClock {
  readonly #timers = new Set<Timer>()
  #nowMs: number

  constructor(startMs: number) {
    this.#nowMs = startMs
  }

  /** ms since 1970, by this clock. */
  readonly now = (): number => this.#nowMs

  /** Calls `work` once the clock has moved by `ms`; the result cancels it. */
  readonly after = (ms: number, work: () => void): (() => void) => {
    const timer: Timer = { atMs: this.#nowMs + Math.max(0, ms), work }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  /** Moves on; time never goes back. Timers that are due fire in the order of their times. */
  advanceTo(ms: number): void {
    if (ms <= this.#nowMs) return
    this.#nowMs = ms
    const due = [...this.#timers].filter(({ atMs }) => atMs <= ms).sort((left, right) => left.atMs - right.atMs)
    for (const timer of due) if (this.#timers.delete(timer)) timer.work()
  }
}
