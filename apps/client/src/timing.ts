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

/** What is to be done when a signal aborts, behind one listener: an EventTarget's cost more than places in a set. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>()

/** Calls `work` when the signal aborts, or at once where it has, unless the returned function was called before. */
export function onAbort(signal: AbortSignal, work: () => void): () => void {
  if (signal.aborted) {
    work()
    return () => undefined
  }
  const known = waiting.get(signal)
  const all = known ?? new Set()
  all.add(work)
  if (!known) {
    waiting.set(signal, all)
    signal.addEventListener("abort", () => [...all].forEach((each) => each()), { once: true })
  }
  return () => void all.delete(work)
}

/**
 * `work`, or a rejection with the signal's reason when that comes first; `work` itself goes on and its end is
 * ignored.
 */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const forget = onAbort(signal, () => reject(signal.reason))
    work.then(
      (result) => {
        forget()
        resolve(result)
      },
      (error: unknown) => {
        forget()
        reject(error)
      },
    )
  })
}
