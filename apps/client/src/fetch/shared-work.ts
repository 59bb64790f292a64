import { hasErrorCode } from "@lamina/protocol"

import { abortable } from "../timing.js"

/**
 * What all clients of a process need once: the first one does the work, the others wait for it, later ones find it. A
 * failure is not kept.
 */
export class SharedWork<T> {
  readonly #results = new Map<string, Promise<T>>()
  readonly #kept: number

  /** `kept`: results remembered, the newest; an older one is made again when asked for. */
  constructor({ kept }: { kept: number }) {
    this.#kept = kept
  }

  async get(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const others = this.#results.get(key)
    const result = others ?? work()
    this.#results.set(key, result)
    for (const old of [...this.#results.keys()].slice(0, -this.#kept)) this.#results.delete(old)
    try {
      return await abortable(result, signal)
    } catch (error) {
      // a wait that was given up leaves the work to the others; work that failed is forgotten
      if (this.#results.get(key) === result && (!others || !signal.aborted)) this.#results.delete(key)
      // the abort of the client that began it must not end the wait of this one
      if (others && !signal.aborted && !hasErrorCode(error)) return this.get(key, signal, work)
      throw error
    }
  }
}
