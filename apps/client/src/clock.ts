/** What a client takes for time. A simulation may bring one of its own, where waiting costs nothing. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Calls `work` once, after `ms` milliseconds (at least 0); the result cancels it. */
  after(ms: number, work: () => void): () => void
}

/** The longest a timer of Node can wait. */
const TIMER_MS_MAX = 2 ** 31 - 1

/** The system's time and timers. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after: (ms, work) => {
    const timer = setTimeout(work, Math.min(ms, TIMER_MS_MAX))
    return () => clearTimeout(timer)
  },
}
