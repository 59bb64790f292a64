import { LaminaError } from "@lamina/protocol/errors"

import type { TokenDocument } from "./tokens.js"

/** Segments that share one row of the context length; tokens see their own segment only. */
export type Row = readonly TokenDocument[]

/**
 * Documents cut into windows of `context` tokens that do not overlap, windows packed into rows of at most `context`
 * tokens: the longest first, each into the fullest row that still has room, a new one otherwise (best fit decreasing;
 * Ding et al. 2024, arXiv:2404.10830, section 3). Equal lengths keep their order. The first token of a window is not
 * predicted, and a window that predicts nothing is left out. DATA_EMPTY when none is left.
 */
export function packRows(documents: readonly TokenDocument[], options: { context: number }): Row[] {
  const { context } = options
  const windows = documents.flatMap((document) => cutWindows(document, context))
  if (windows.length === 0)
    throw new LaminaError(
      "DATA_EMPTY",
      `expected a document of at least 2 tokens with one to predict, got none of ${documents.length}`,
    )
  windows.sort((left, right) => right.ids.length - left.ids.length) // stable
  const rows: TokenDocument[][] = []
  const room = new RoomIndex(context)
  for (const window of windows) {
    const found = room.take(window.ids.length)
    const index = found ?? rows.push([]) - 1
    const row = rows[index] as TokenDocument[]
    row.push(window)
    room.add(index, context - row.reduce((sum, { ids }) => sum + ids.length, 0))
  }
  return rows
}

function cutWindows({ ids, lossFrom }: TokenDocument, context: number): TokenDocument[] {
  const windows: TokenDocument[] = []
  for (let start = 0; start < ids.length; start += context) {
    const window = { ids: ids.subarray(start, start + context), lossFrom: Math.max(0, lossFrom - start) }
    if (Math.max(1, window.lossFrom) < window.ids.length) windows.push(window)
  }
  return windows
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
