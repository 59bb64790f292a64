import type Database from "better-sqlite3"

interface Waiting {
  readonly work: () => unknown
  readonly resolve: (result: never) => void
  readonly reject: (error: unknown) => void
}

/** How long the first write of a transaction waits for others, at least and at most. */
const GATHER_MS_MIN = 1
const GATHER_MS_MAX = 10
/** Transactions hold up everything else while they last: between two of them passes so many times what one takes. */
const PAUSE = 4

/** What a queue needs of its connection. */
interface Access {
  /** Runs work while nobody else has a transaction open on the connection. */
  exclusively(work: () => void): Promise<void>
  /** Resolves when everything committed before is on the disk. */
  sync(): Promise<void>
}

/**
 * Group commit: writes that come within some milliseconds share one transaction and its one sync. Each is undone by
 * itself when it fails, and none is answered before the transaction is durable. SQLite would sync inside COMMIT and
 * hold up this thread meanwhile; so here it commits as with synchronous=NORMAL, and the log is synced by a thread of
 * the pool before anybody is answered, which promises the same as FULL.
 */
export class WriteQueue {
  #waiting: Waiting[] = []
  #gatherMs = GATHER_MS_MIN
  /** Transactions that are committed and not known to be on the disk. */
  #unsynced = 0
  /** A transaction; inside one, a savepoint. */
  readonly #transaction: (work: () => unknown) => unknown

  constructor(
    private readonly sqlite: Database.Database,
    private readonly access: Access,
  ) {
    this.#transaction = sqlite.transaction((work: () => unknown) => work())
  }

  /** Runs `work` inside the next transaction; its result, once that is durable. Rejects with what `work` throws. */
  write<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ work, resolve, reject })
      if (this.#waiting.length === 1) setTimeout(() => void this.#flush(), this.#gatherMs)
    })
  }

  /** Resolves when what a reader sees now is durable. */
  async durable(): Promise<void> {
    if (this.#unsynced > 0) await this.access.sync()
  }

  async #flush(): Promise<void> {
    let batch: Waiting[] = []
    const answers: (() => void)[] = []
    try {
      await this.access.exclusively(() => {
        batch = this.#waiting // what came while the connection was busy goes along
        this.#waiting = []
        const startedMs = performance.now()
        this.#commit(() => {
          for (const waiting of batch) answers.push(this.#answerOf(waiting))
        })
        const tookMs = performance.now() - startedMs
        this.#gatherMs = Math.min(GATHER_MS_MAX, Math.max(GATHER_MS_MIN, PAUSE * tookMs))
      })
      await this.access.sync()
      this.#unsynced -= 1
      for (const answer of answers) answer()
    } catch (error) {
      const failed = batch.length > 0 ? batch : this.#waiting.splice(0)
      for (const { reject } of failed) reject(error)
    }
  }

  #commit(work: () => void): void {
    this.sqlite.pragma("synchronous = NORMAL")
    try {
      this.#transaction(work)
      this.#unsynced += 1
    } finally {
      this.sqlite.pragma("synchronous = FULL")
    }
  }

  /** A transaction inside a transaction is a savepoint: a write that fails leaves nothing behind. */
  #answerOf({ work, resolve, reject }: Waiting): () => void {
    try {
      const result = this.#transaction(work)
      return () => resolve(result as never)
    } catch (error) {
      // SQLite has given up the whole transaction, not this write: a full disk
      if (!this.sqlite.inTransaction) throw error
      return () => reject(error)
    }
  }
}
