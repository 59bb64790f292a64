import { placeOfList } from "./wire-scan.js"

interface Known<T> {
  readonly bytes: Uint8Array
  readonly list: readonly T[]
}

interface Unread<T> {
  /** The message, without its list where that is known. */
  readonly unread: Uint8Array
  /** Bytes of the list, where all of it is in one place. */
  readonly run?: Uint8Array
  readonly list?: readonly T[]
}

/** Of the unequal ranks of a cohort, some. */
const LISTS_MAX = 8
/** Of one list: four thousand modules. */
const BYTES_MAX = 256 * 1024

/**
 * The long list of a message, which all clients of a cohort send or get alike: the modules of plans and manifests. Its
 * bytes are compared with those of the lists read last, and one that is among them is not read again.
 */
export class AlikeLists<T> {
  /** Last read first. */
  readonly #known: Known<T>[] = []

  /** `number`: of the list's field in message `name`. */
  constructor(
    private readonly name: string,
    private readonly number: number,
  ) {}

  /** What there is to read of a message. Throws for bytes that are no message. */
  look(bytes: Uint8Array): Unread<T> {
    const place = placeOfList(bytes, this.number, this.name)
    if (!place) return { unread: bytes }
    const run = bytes.subarray(place.start, place.end)
    const at = this.#known.findIndex((known) => isSame(known.bytes, run))
    const [found] = at < 0 ? [] : this.#known.splice(at, 1)
    if (!found) return { unread: bytes, run }
    this.#known.unshift(found)
    const unread = new Uint8Array(bytes.length - run.length)
    unread.set(bytes.subarray(0, place.start))
    unread.set(bytes.subarray(place.end), place.start)
    return { unread, run, list: found.list }
  }

  /** The list that was read of these bytes, for messages to come: frozen, as it will be part of several. */
  keep(run: Uint8Array, list: readonly T[]): void {
    if (run.length > BYTES_MAX) return
    freeze(list)
    this.#known.unshift({ bytes: new Uint8Array(run), list }) // slice() of a Buffer would be a view
    this.#known.length = Math.min(this.#known.length, LISTS_MAX)
  }
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && Buffer.compare(left, right) === 0
}

function freeze(value: unknown): void {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return
  Object.values(value).forEach(freeze)
  Object.freeze(value)
}
