import { placeOfList } from "./wire-scan.js"

interface Known<T> {
  readonly bytes: Uint8Array
  readonly list: readonly T[]
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

  /** The list, and the message without it; undefined where its bytes are new. Throws for bytes that are no message. */
  find(bytes: Uint8Array): { readonly list: readonly T[]; readonly rest: Uint8Array } | undefined {
    if (this.#known.length === 0) return undefined
    const place = placeOfList(bytes, this.number, this.name)
    if (!place) return undefined
    const run = bytes.subarray(place.start, place.end)
    const at = this.#known.findIndex((known) => isSame(known.bytes, run))
    const [found] = at < 0 ? [] : this.#known.splice(at, 1)
    if (!found) return undefined
    this.#known.unshift(found)
    const rest = new Uint8Array(bytes.length - run.length)
    rest.set(bytes.subarray(0, place.start))
    rest.set(bytes.subarray(place.end), place.start)
    return { list: found.list, rest }
  }

  /** The list that was read of a whole message, for those to come: frozen, as it will be part of several. */
  keep(bytes: Uint8Array, list: readonly T[]): void {
    const place = placeOfList(bytes, this.number, this.name)
    if (!place || place.end - place.start > BYTES_MAX) return
    freeze(list)
    this.#known.unshift({ bytes: bytes.slice(place.start, place.end), list })
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
