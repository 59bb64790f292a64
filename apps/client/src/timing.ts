import { setTimeout as sleep } from "node:timers/promises"

/** Uniform in [0, 1). Decides when to try again, never what is computed; tests pass a seeded one. */
export type Random = () => number

interface Backoff {
  readonly firstMs: number
  readonly mostMs: number
}

/**
 * Half a second after the first failure, half a minute at most: a coordinator that restarts is found again within
 * seconds.
 */
const RETRY: Backoff = { firstMs: 500, mostMs: 30_000 }

/** Exponential backoff with full jitter, uniform in [0, min(mostMs, firstMs · 2^attempt)); attempt counts from 0. */
export function backoffMs(attempt: number, random: Random, { firstMs, mostMs }: Backoff = RETRY): number {
  return Math.floor(random() * Math.min(mostMs, firstMs * 2 ** Math.min(attempt, 30)))
}

/** Rejects with the signal's reason as soon as it aborts. */
export async function delay(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  try {
    await sleep(ms, undefined, { signal })
  } catch {
    signal.throwIfAborted()
  }
}

/**
 * `work`, or a rejection with the signal's reason when that comes first; `work` itself goes on and its end is
 * ignored.
 */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => undefined)
  signal.throwIfAborted()
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(signal.reason)
    signal.addEventListener("abort", abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort))
  })
}
