import fc from "fast-check"

import type { Partition } from "@lamina/protocol/recipe"

import { keysBySize, partitionRows } from "./population-partition.js"
import type { PartitionInput } from "./population-partition.js"

const key = fc.constantFrom("a", "b", "c", "d")
const partition: fc.Arbitrary<Partition> = fc.oneof(
  fc.constant({ kind: "iid" } as const),
  fc.record({ kind: fc.constant("dirichlet" as const), alpha: fc.double({ min: 0.001, max: 1000, noNaN: true }), key }),
  fc.record({ kind: fc.constant("shards" as const), perClient: fc.integer({ min: 1, max: 8 }), key }),
  fc.record({ kind: fc.constant("quantity" as const), alpha: fc.double({ min: 0.001, max: 1000, noNaN: true }) }),
)
/** Rows for at most 10 clients of 2 rows each; fewer of them than there may be shards. */
const input: fc.Arbitrary<PartitionInput> = fc.record({
  keys: fc.array(key, { minLength: 20, maxLength: 120 }),
  clients: fc.integer({ min: 1, max: 10 }),
  seed: fc.nat(),
  rowsMin: fc.constantFrom(1, 2),
})

test("every row goes to exactly one client, and every client has its least", () => {
  fc.assert(
    fc.property(partition, input, (kind, given) => {
      const division = partitionRows(kind, given)
      expect(division).toHaveLength(given.clients)
      expect(division.flat().sort((left, right) => left - right)).toEqual([...given.keys.keys()])
      for (const rows of division) expect(rows.length).toBeGreaterThanOrEqual(given.rowsMin)
    }),
  )
})

test.each([
  [{ rows: 30, clients: 15, perClient: 4, rowsMin: 2 }],
  [{ rows: 16, clients: 8, perClient: 8, rowsMin: 2 }],
])("shards without a row in them leave no client without its own: %j", ({ rows, clients, perClient, rowsMin }) => {
  const keys = Array.from({ length: rows }, (_, i) => "abcd"[i % 4] as string)
  const division = partitionRows({ kind: "shards", perClient, key: "k" }, { keys, clients, seed: 1, rowsMin })
  expect(Math.min(...division.map((own) => own.length))).toBe(rowsMin)
  expect(division.flat().sort((left, right) => left - right)).toEqual([...keys.keys()])
})

test("natural gives one key one client, the largest first, and others' rows to nobody", () => {
  fc.assert(
    fc.property(input, (given) => {
      const division = partitionRows({ kind: "natural", key: "k" }, given)
      const kept = keysBySize(given.keys).slice(0, given.clients)
      expect(division.map((rows) => [...new Set(rows.map((row) => given.keys[row]))])).toEqual(kept.map((k) => [k]))
      const wanted = [...given.keys.keys()].filter((row) => kept.includes(given.keys[row] as string))
      expect(division.flat().sort((left, right) => left - right)).toEqual(wanted)
      for (const [i, rows] of division.entries())
        expect(rows.length).toBeLessThanOrEqual(division[i - 1]?.length ?? 120)
    }),
  )
})

test("the same seed divides alike, another seed otherwise", () => {
  fc.assert(
    fc.property(partition, input, (kind, given) => {
      expect(partitionRows(kind, given)).toEqual(partitionRows(kind, given))
    }),
  )
  const keys = Array.from({ length: 200 }, (_, i) => "abcd"[i % 4] as string)
  for (const kind of ["iid", "dirichlet", "shards", "quantity"] as const) {
    const settings = { kind, alpha: 1, perClient: 2, key: "k" } as Partition
    const [one, other] = [1, 2].map((seed) => partitionRows(settings, { keys, clients: 5, seed, rowsMin: 1 }))
    expect(one).not.toEqual(other)
  }
})

test("sizes of iid differ by one at most", () => {
  fc.assert(
    fc.property(input, (given) => {
      const sizes = partitionRows({ kind: "iid" }, given).map((rows) => rows.length)
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
    }),
  )
})

/** Mean over clients of the total variation between a client's keys and all keys: 0 for equal mixtures. */
function skew(alpha: number): number {
  const keys = Array.from({ length: 4_000 }, (_, i) => "abcd"[i % 4] as string)
  const division = partitionRows({ kind: "dirichlet", alpha, key: "k" }, { keys, clients: 10, seed: 5, rowsMin: 2 })
  const distances = division.map((rows) =>
    [..."abcd"].reduce((sum, k) => {
      const share = rows.filter((row) => keys[row] === k).length / rows.length
      return sum + Math.abs(share - 0.25) / 2
    }, 0),
  )
  return distances.reduce((sum, distance) => sum + distance, 0) / distances.length
}

test("Dirichlet's clients come close to IID as alpha grows, and to one key each as it falls", () => {
  // alpha 1000: a key's share of a client is Beta(1000, 9000), 3 % around its mean, so a mixture is off by about 1 %;
  // alpha 0.01: a key goes to one client, or nearly, so that a mixture is nearly one key, off by 3/4
  expect(skew(1_000)).toBeLessThan(0.03)
  expect(skew(1)).toBeGreaterThan(skew(100))
  expect(skew(0.01)).toBeGreaterThan(0.5)
})

test("a client of two shards that are no larger than a key's rows has four keys at most, and two if they align", () => {
  const keys = Array.from({ length: 400 }, (_, i) => String.fromCharCode(97 + (i % 10)))
  const keysOf = (clients: number): number[] => {
    const division = partitionRows({ kind: "shards", perClient: 2, key: "k" }, { keys, clients, seed: 9, rowsMin: 1 })
    return division.map((rows) => new Set(rows.map((row) => keys[row])).size)
  }
  // 10 keys of 40 rows: 20 shards of 20 rows never reach over a key's end, 26 of 15 or 16 may, into one more key
  expect(Math.max(...keysOf(10))).toBeLessThanOrEqual(2)
  expect(Math.max(...keysOf(13))).toBeLessThanOrEqual(4)
})
