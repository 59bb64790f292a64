import type { TokenDocument } from "./tokens.js"

/** Segments that share one row of the context length; tokens see their own segment only. */
export type Row = readonly TokenDocument[]

/** Rows that can be asked for by number, from 0; an array is one. */
export interface RowSource {
  readonly length: number
  /** Undefined where there is no row of this number. */
  at(index: number): Row | undefined
}

/**
 * Windows of the given lengths (tokens, at most `context`) packed into rows of at most `context` tokens, as lists of
 * their numbers: the longest first, each into the fullest row that still has room, a new one otherwise (best fit
 * decreasing; Ding et al. 2024, arXiv:2404.10830, section 3). Equal lengths keep their order.
 */
export function packWindows(lengths: readonly number[], { context }: { context: number }): number[][] {
  const order = lengths.map((_, window) => window)
  order.sort((left, right) => (lengths[right] as number) - (lengths[left] as number)) // stable
  const rows: number[][] = []
  const filled: number[] = []
  const room = new RoomIndex(context)
  for (const window of order) {
    const length = lengths[window] as number
    const found = room.take(length)
    const index = found ?? rows.push([]) - 1
    ;(rows[index] as number[]).push(window)
    filled[index] = (filled[index] ?? 0) + length
    room.add(index, context - (filled[index] as number))
  }
  return rows
}

/** Rows by the tokens they have room for; finds the least room that is enough in O(log context). */
class RoomIndex {
  private readonly rows: number[][]
  /** A heap-shaped tree over room 0..size-1: how many rows each subtree has. */
  private readonly counts: Int32Array
  private readonly size: number

  constructor(context: number) {
    this.size = 2 ** Math.ceil(Math.log2(context + 1))
    this.counts = new Int32Array(2 * this.size)
    this.rows = Array.from({ length: context + 1 }, () => [])
  }

  add(row: number, room: number): void {
    ;(this.rows[room] as number[]).push(row)
    this.count(room, 1)
  }

  /**
   * Removes and returns a row with the least room >= `length`, the latest added of those; undefined when no row has it.
   */
  take(length: number): number | undefined {
    let node = this.size + length
    if (this.counts[node] === 0) {
      while (node > 1 && (node % 2 === 1 || this.counts[node + 1] === 0)) node >>= 1
      if (node <= 1) return undefined
      node += 1
      while (node < this.size) node = this.counts[2 * node] === 0 ? 2 * node + 1 : 2 * node
    }
    this.count(node - this.size, -1)
    return (this.rows[node - this.size] as number[]).pop()
  }

  private count(room: number, change: number): void {
    for (let node = this.size + room; node >= 1; node >>= 1) this.counts[node] = (this.counts[node] as number) + change
  }
}
