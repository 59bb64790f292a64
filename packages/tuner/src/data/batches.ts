import { nameHash, threefry } from "../model/counter-random.js"
import type { Row, RowSource } from "./rows.js"

/** Segments of one or more rows, one after another and not padded: T is what the rows hold. S segments. */
export interface TokenBatch {
  /** (T) */
  readonly ids: Int32Array
  /** (T) the token after each one inside its segment; -1 where there is none or it does not count in the loss. */
  readonly targets: Int32Array
  /** (T) position inside the segment, from 0. */
  readonly positions: Int32Array
  /** (S+1) first token of each segment, then T. */
  readonly offsets: Int32Array
  /** Targets that are not -1. */
  readonly predicted: number
}

/** The segments of `rows` in order as one batch. */
export function joinRows(rows: readonly Row[]): TokenBatch {
  const segments = rows.flat()
  const tokens = segments.reduce((sum, { ids }) => sum + ids.length, 0)
  const ids = new Int32Array(tokens)
  const targets = new Int32Array(tokens).fill(-1)
  const positions = new Int32Array(tokens)
  const offsets = new Int32Array(segments.length + 1)
  let start = 0
  let predicted = 0
  for (const [index, segment] of segments.entries()) {
    const { length } = segment.ids
    ids.set(segment.ids, start)
    for (let i = 1; i < length; i++) {
      if (segment.predicted[i] === 0) continue
      targets[start + i - 1] = segment.ids[i] as number
      predicted += 1
    }
    for (let i = 0; i < length; i++) positions[start + i] = i
    start += length
    offsets[index + 1] = start
  }
  return { ids, targets, positions, offsets, predicted }
}

/**
 * Batch `index` (from 0) of an endless pass over `rows`: a pure function of rows, batch, seed and index, so that a
 * resumed run needs no saved order. Every epoch takes each row once, in an order of its own; a batch runs on into the
 * next epoch, so all hold `batch` rows (T <= batch * context tokens) and a row comes twice in one batch only at such a
 * seam or when there are fewer rows than `batch`.
 */
export function createBatches(data: { rows: RowSource; batch: number; seed: number }): (index: number) => TokenBatch {
  const { rows, batch, seed } = data
  let epoch = -1
  let order = new Uint32Array(0)
  const rowAt = (position: number): Row => {
    const wanted = Math.floor(position / rows.length)
    if (wanted !== epoch) {
      epoch = wanted
      order = shuffledOrder(rows.length, { seed, epoch })
    }
    return rows.at(order[position % rows.length] as number) as Row
  }
  return (index) => joinRows(Array.from({ length: batch }, (_, i) => rowAt(index * batch + i)))
}

/** Fisher-Yates over 0..length-1; draw i is a word of the counter-based generator. */
function shuffledOrder(length: number, draw: { seed: number; epoch: number }): Uint32Array<ArrayBuffer> {
  const order = Uint32Array.from({ length }, (_, i) => i)
  for (let i = length - 1; i > 0; i--) {
    const [word] = threefry([draw.seed, nameHash("data order")], [i, draw.epoch])
    const j = Math.floor((word / 2 ** 32) * (i + 1)) // off uniform by at most (i + 1) / 2^32
    const held = order[i] as number
    order[i] = order[j] as number
    order[j] = held
  }
  return order
}
