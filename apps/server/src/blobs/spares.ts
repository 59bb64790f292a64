import { readdirSync, renameSync, rmSync, statfsSync, statSync, truncateSync } from "node:fs"
import { rm } from "node:fs/promises"
import { join } from "node:path"

/** Bytes on the disk that may lie unused for the next round; never more than the disk has free besides. */
const SPARE_BYTES_MAX = 4 * 1024 ** 3
/** A spare is cut or lengthened for a file of down to half and up to twice its size. */
const SIZE_RATIO_MAX = 2
/**
 * What pays is the next round taking the files of the last while their pages are still in memory. Where a round trains
 * for longer than this, its updates come one by one, and a new file is no cost that anybody notices.
 */
const KEPT_MS = 60_000

interface Spare {
  readonly path: string
  readonly bytes: number
  readonly sinceMs: number
}

/** What differs in tests. */
export interface SparesOptions {
  /** How long a spare is kept, in ms. */
  readonly keptMs?: number
}

/**
 * Files `N.spare` that were needed once and are written over by the next who needs one. A new file of some megabytes
 * makes the file system find blocks, log them and clear pages: that costs more than writing it does. Names are changed
 * at once; they become durable by the folder's sync, as those of new files do.
 */
export class Spares {
  /** The oldest first. */
  #spares: Spare[] = []
  #bytes = 0
  #made = 0
  #timer: NodeJS.Timeout | undefined
  readonly #keptMs: number

  /** Removes what an earlier process left in the folder. */
  constructor(
    private readonly folder: string,
    { keptMs = KEPT_MS }: SparesOptions = {},
  ) {
    this.#keptMs = keptMs
    for (const name of readdirSync(folder)) if (name.endsWith(".spare")) rmSync(join(folder, name), { force: true })
  }

  /**
   * Keeps a file that nobody reads or writes any more, out of the way of its old name; false where there is no room for
   * it, or no such file: then it is as it was.
   */
  keep(path: string): boolean {
    const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
    const { bavail, bsize } = statfsSync(this.folder)
    if (bytes === 0 || this.#bytes + bytes > Math.min(SPARE_BYTES_MAX, bavail * bsize)) return false
    const spare = { path: join(this.folder, `${this.#made++}.spare`), bytes, sinceMs: performance.now() }
    renameSync(path, spare.path)
    this.#spares.push(spare)
    this.#bytes += bytes
    this.#timer ??= setTimeout(() => void this.#letOldGo(), this.#keptMs).unref()
    return true
  }

  /**
   * Gives a spare this name, which must be free, and so many bytes; false where none is of about that size. Its bytes
   * are what somebody wrote before. Throws what the system says of a disk without room to lengthen it.
   */
  take(path: string, bytes: number): boolean {
    const isNear = (spare: Spare): boolean =>
      spare.bytes <= SIZE_RATIO_MAX * bytes && bytes <= SIZE_RATIO_MAX * spare.bytes
    const exact = this.#spares.findLastIndex((spare) => spare.bytes === bytes)
    const at = exact >= 0 ? exact : this.#spares.findLastIndex(isNear)
    const spare = this.#spares[at]
    if (!spare) return false
    // the length first: after a crash no file is longer than was asked for
    if (spare.bytes !== bytes) truncateSync(spare.path, bytes)
    renameSync(spare.path, path)
    this.#spares.splice(at, 1)
    this.#bytes -= spare.bytes
    return true
  }

  /** Removes all; false where there was none. */
  async letGo(): Promise<boolean> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    return this.#remove(Infinity)
  }

  async #letOldGo(): Promise<void> {
    this.#timer = undefined
    const now = performance.now()
    await this.#remove(now - this.#keptMs).catch(() => undefined) // the next start removes what could not be
    const [oldest] = this.#spares
    if (oldest) this.#timer ??= setTimeout(() => void this.#letOldGo(), oldest.sinceMs + this.#keptMs - now).unref()
  }

  async #remove(untilMs: number): Promise<boolean> {
    const gone = this.#spares.filter(({ sinceMs }) => sinceMs <= untilMs)
    this.#spares = this.#spares.filter(({ sinceMs }) => sinceMs > untilMs)
    this.#bytes = this.#spares.reduce((sum, { bytes }) => sum + bytes, 0)
    for (const { path } of gone) await rm(path, { force: true })
    return gone.length > 0
  }
}
