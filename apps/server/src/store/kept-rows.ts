/**
 * Rows that never change, kept while they are small together: the one that was longest not asked for goes first. Those
 * that are not there are asked for again.
 */
export class KeptRows<Row> {
  readonly #rows = new Map<string, { readonly row: Row; readonly bytes: number }>()
  #bytes = 0

  /** `sizeOf`: bytes of a row, about. */
  constructor(
    private readonly bytesMax: number,
    private readonly sizeOf: (row: Row) => number,
  ) {}

  async get(key: string, read: () => Promise<Row | undefined>): Promise<Row | undefined> {
    const known = this.#rows.get(key)
    if (known) {
      this.#rows.delete(key)
      this.#rows.set(key, known)
      return known.row
    }
    const row = await read()
    if (row) this.#keep(key, row)
    return row
  }

  #keep(key: string, row: Row): void {
    const bytes = this.sizeOf(row)
    this.#bytes += bytes - (this.#rows.get(key)?.bytes ?? 0)
    this.#rows.set(key, { row, bytes })
    for (const [oldest, { bytes: freed }] of this.#rows) {
      if (this.#bytes <= this.bytesMax) return
      this.#rows.delete(oldest)
      this.#bytes -= freed
    }
  }
}
