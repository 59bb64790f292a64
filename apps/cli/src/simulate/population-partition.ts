import { compareNames } from "@lamina/protocol"
import type { Partition } from "@lamina/protocol/recipe"

import { RandomStream } from "./population-random.js"

/** What is divided: row i has key keys[i]; all alike where the partition asks for none. */
export interface PartitionInput {
  readonly keys: readonly string[]
  readonly clients: number
  readonly seed: number
  /** Rows every client gets at least; `keys` has at least so many for each. */
  readonly rowsMin: number
}

/** Numbers of rows, by client. A row is nobody's twice; `natural` leaves out the rows of other keys. */
type Division = number[][]

/**
 * Rows to clients by a recipe's partition, the same for the same seed. For `natural`, client i is the i-th key of
 * `keysBySize`; it may give some fewer than rowsMin, the others never do.
 */
export function partitionRows(partition: Partition, input: PartitionInput): Division {
  switch (partition.kind) {
    case "iid":
      return cut(shuffledRows(input), evenSizes(input.keys.length, input.clients))
    case "quantity":
      return cut(shuffledRows(input), unequalSizes(partition.alpha, input))
    case "dirichlet":
      return byDirichlet(partition.alpha, input)
    case "shards":
      return byShards(partition.perClient, input)
    case "natural": {
      const groups = rowsByKey(input.keys)
      return keysBySize(input.keys)
        .slice(0, input.clients)
        .map((key) => groups.get(key) as number[])
    }
  }
}

/** Keys by falling number of rows, those of one number by name. */
export function keysBySize(keys: readonly string[]): string[] {
  return [...rowsByKey(keys)]
    .sort(([left, { length: less }], [right, { length: more }]) => more - less || compareNames(left, right))
    .map(([key]) => key)
}

function rowsByKey(keys: readonly string[]): Map<string, number[]> {
  const groups = new Map<string, number[]>()
  for (const [row, key] of keys.entries()) {
    const group = groups.get(key)
    if (group) group.push(row)
    else groups.set(key, [row])
  }
  return new Map([...groups].sort(([left], [right]) => compareNames(left, right)))
}

function shuffledRows({ keys, seed }: PartitionInput): number[] {
  return new RandomStream(seed, "population/rows").shuffled([...keys.keys()])
}

/** Sizes that differ by one at most. */
function evenSizes(rows: number, parts: number): number[] {
  return Array.from({ length: parts }, (_, i) => Math.floor(((i + 1) * rows) / parts) - Math.floor((i * rows) / parts))
}

/** rowsMin each, and the rest by Dirichlet(alpha). */
function unequalSizes(alpha: number, { keys, clients, seed, rowsMin }: PartitionInput): number[] {
  const shares = new RandomStream(seed, "population/sizes").dirichlet(alpha, clients)
  return proportionalSizes(shares, keys.length - clients * rowsMin).map((size) => size + rowsMin)
}

/** Whole numbers in proportion to `shares` that sum to `total`: the running sum is rounded. */
function proportionalSizes(shares: readonly number[], total: number): number[] {
  let sum = 0
  let taken = 0
  return shares.map((share, i) => {
    sum += share
    const end = i === shares.length - 1 ? total : Math.min(total, Math.round(sum * total))
    const size = end - taken
    taken = end
    return size
  })
}

function cut<T>(values: readonly T[], sizes: readonly number[]): T[][] {
  let start = 0
  return sizes.map((size) => values.slice(start, (start += size)))
}

/** Each key's rows split by its own Dirichlet(alpha) over the clients (Yurochkin et al. 2019, arXiv:1905.12022). */
function byDirichlet(alpha: number, input: PartitionInput): Division {
  const division: Division = Array.from({ length: input.clients }, () => [])
  for (const [key, rows] of rowsByKey(input.keys)) {
    const stream = new RandomStream(input.seed, `population/key/${key}`)
    const sizes = proportionalSizes(stream.dirichlet(alpha, input.clients), rows.length)
    for (const [client, part] of cut(stream.shuffled(rows), sizes).entries())
      for (const row of part) division[client]?.push(row)
  }
  fill(division, input)
  return division
}

/** Clients with fewer than `rowsMin` rows take a row, drawn at random, of whoever has most, one by one. */
function fill(division: Division, { rowsMin, seed }: PartitionInput): void {
  const stream = new RandomStream(seed, "population/fill")
  const most = division.reduce((largest, { length }) => Math.max(largest, length), 0)
  const bySize: number[][] = Array.from({ length: most + 1 }, () => [])
  for (const [client, { length }] of division.entries()) bySize[length]?.push(client)
  let size = most
  for (const rows of division)
    while (rows.length < rowsMin) {
      while (bySize[size]?.length === 0) size -= 1
      const giver = bySize[size]?.pop() as number
      rows.push(...(division[giver] as number[]).splice(Math.floor(stream.uniform() * size), 1))
      bySize[size - 1]?.push(giver)
    }
}

/**
 * Rows sorted by key (shuffled within one) and cut into clients · perClient pieces of one size (one row more or less:
 * none where there are fewer rows than pieces), which go to the clients at random.
 */
function byShards(perClient: number, input: PartitionInput): Division {
  const stream = new RandomStream(input.seed, "population/shards")
  const sorted = [...rowsByKey(input.keys).values()].flatMap((rows) => stream.shuffled(rows))
  const order = stream.shuffled(cut(sorted, evenSizes(sorted.length, input.clients * perClient)))
  const division = cut(order, Array<number>(input.clients).fill(perClient)).map((pieces) => pieces.flat())
  fill(division, input)
  return division
}
