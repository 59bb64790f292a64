import type { CountedUpdate } from "./jobs.js"
import { OPEN_BYTES_MAX, takeUpdate } from "./open-update.js"
import type { Opened } from "./open-update.js"

/** One is opened and one is read while those before them are summed. */
const AHEAD = 2

type Memory = Pick<Opened, "memory">

/**
 * Updates opened one after another. What the disk and the cipher do for the next ones, threads of Node's pool do
 * meanwhile, where all of them together have room.
 */
export class OpenAhead {
  readonly #opening: Promise<Opened>[] = []
  #at = 0

  constructor(private readonly updates: readonly CountedUpdate[]) {}

  /** The next one, while those before it are still `open`. Throws what opening it threw. */
  async next(open: readonly Memory[]): Promise<Opened> {
    if (this.#opening.length === 0) this.#begin()
    const opened = await this.#opening.shift()!
    while (this.#opening.length < AHEAD && this.#hasRoom([...open, opened])) this.#begin()
    return opened
  }

  /** Whether there is a next one that may be open beside these. */
  hasNext(open: readonly Memory[]): boolean {
    return this.#opening.length > 0 || this.#hasRoom(open)
  }

  /** For one more beside these and those that are being opened. */
  #hasRoom(open: readonly Memory[]): boolean {
    if (this.#at === this.updates.length) return false
    const coming = this.updates.slice(this.#at - this.#opening.length, this.#at + 1)
    const bytes = coming.reduce((total, { envelopeBytes }) => total + envelopeBytes, 0)
    return open.reduce((total, { memory }) => total + memory.byteLength, bytes) <= OPEN_BYTES_MAX
  }

  #begin(): void {
    const update = this.updates[this.#at++]!
    const opening = takeUpdate(update, update.secret)
    opening.catch(() => undefined) // told when it is its turn
    this.#opening.push(opening)
  }
}
