import type Database from "better-sqlite3"

interface Waiting {
  readonly work: () => unknown
  readonly resolve: (result: never) => void
  readonly reject: (error: unknown) => void
}

/** How long the first write of a transaction waits for others, at least and at most: an fsync costs as much. */
const GATHER_MS_MIN = 1
const GATHER_MS_MAX = 10
/** Transactions hold up everything else while they last: between two of them passes so many times what one takes. */
const PAUSE = 4

/**
 * Group commit: writes that come within some milliseconds share one transaction and its one fsync. Each is undone by
 * itself when it fails, and none is answered before the transaction is durable.
 */
export class WriteQueue {
  #waiting: Waiting[] = []
  #gatherMs = GATHER_MS_MIN

  /** `exclusively` runs work while nobody else has a transaction open on the connection. */
  constructor(
    private readonly sqlite: Database.Database,
    private readonly exclusively: (work: () => void) => Promise<void>,
  ) {}

  /** Runs `work` inside the next transaction; its result, once that is durable. Rejects with what `work` throws. */
  write<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ work, resolve, reject })
      if (this.#waiting.length === 1) setTimeout(() => void this.#flush(), this.#gatherMs)
    })
  }

  async #flush(): Promise<void> {
    let batch: Waiting[] = []
    const answers: (() => void)[] = []
    try {
      await this.exclusively(() => {
        batch = this.#waiting // what came while the connection was busy goes along
        this.#waiting = []
        const startedMs = performance.now()
        this.sqlite.transaction(() => {
          for (const waiting of batch) answers.push(this.#answerOf(waiting))
        })()
        const tookMs = performance.now() - startedMs
        this.#gatherMs = Math.min(GATHER_MS_MAX, Math.max(GATHER_MS_MIN, PAUSE * tookMs))
      })
      for (const answer of answers) answer()
    } catch (error) {
      const failed = batch.length > 0 ? batch : this.#waiting.splice(0)
      for (const { reject } of failed) reject(error)
    }
  }

  /** A transaction inside a transaction is a savepoint: a write that fails leaves nothing behind. */
  #answerOf({ work, resolve, reject }: Waiting): () => void {
    try {
      const result = this.sqlite.transaction(work)()
      return () => resolve(result as never)
    } catch (error) {
      // SQLite has given up the whole transaction, not this write: a full disk
      if (!this.sqlite.inTransaction) throw error
      return () => reject(error)
    }
  }
}
