import { createHash } from "node:crypto"

import fc from "fast-check"

import { addon } from "../native/addon.js"
import { eachLinalg, eachNativeLinalg } from "../testing/each-linalg.js"
import { seededRandom } from "../testing/random.js"
import { chooseLinalgBackend } from "./linalg.js"
import { placeFactorsProbed } from "./stack.js"
import { CLIENTS_AT_ONCE, energiesOfTaken, PRODUCTS_PER_ROW, takeFactors } from "./taken-factors.js"
import type { ClientFactors, TakenFactors } from "./taken-factors.js"

afterEach(() => chooseLinalgBackend("native"))

interface Sizes {
  readonly rows: number
  readonly cols: number
  readonly ranks: readonly number[]
  readonly seed: number
}

function clientsOf({ rows, cols, ranks, seed }: Sizes): ClientFactors[] {
  const random = seededRandom(seed)
  return ranks.map((rank, k) => ({
    ...{ rank, scale: 0.3 * (k + 1), a: random.floats(rank * cols), b: random.floats(rows * rank) },
  }))
}

function sumOf(clients: readonly ClientFactors[]): number {
  return clients.reduce((sum, { rank }) => sum + rank, 0)
}

/** Room for all ranks, and for `behind` more that do not come. */
function placeOf({ rows, cols, ranks }: Omit<Sizes, "seed">, behind = 0) {
  const total = ranks.reduce((sum, each) => sum + each, behind)
  const products = () => new Float32Array(rows * PRODUCTS_PER_ROW).fill(7)
  return {
    ...{ rows, cols, total },
    into: { a: new Float32Array(total * cols).fill(7), b: new Float32Array(rows * total).fill(7) },
    products: [products(), products()] as const,
  }
}

/** Comparing arrays of 100,000 values one by one takes seconds. */
function hashOf(values: Float32Array): string {
  return createHash("sha256")
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest("hex")
}

/** `atOnce` clients by each call, behind those before. */
function takeAll(sizes: Sizes, atOnce: number, behind: number) {
  const [clients, { products, ...place }] = [clientsOf(sizes), placeOf(sizes, behind)]
  let [before, after]: [Float32Array | undefined, Float32Array] = [undefined, products[0]]
  let at = 0
  for (let from = 0; from < clients.length; from += atOnce) {
    const some = clients.slice(from, from + atOnce)
    expect(takeFactors([{ ...place, at, clients: some, products: { before, after } }])).toBe(-1)
    at += sumOf(some)
    ;[before, after] = [after, before ?? products[1]]
  }
  return {
    a: hashOf(place.into.a),
    b: hashOf(place.into.b),
    energies: energiesOfTaken({ rows: sizes.rows, rank: at }, before!),
  }
}

/** By placeFactorsProbed, from all of them at once, in a stack with room for `behind` more. */
function placedAtOnce(sizes: Sizes, behind: number) {
  const [clients, { into, total, rows, cols }] = [clientsOf(sizes), placeOf(sizes, behind)]
  const joined = (side: "a" | "b"): Float32Array => Float32Array.from(clients.flatMap((taken) => [...taken[side]]))
  const blocks = {
    ...{ rows, cols, ranks: Int32Array.from(sizes.ranks), scales: Float64Array.from(clients, ({ scale }) => scale) },
    ...{ a: joined("a"), b: joined("b") },
  }
  const energies = placeFactorsProbed(blocks, { at: 0, total, into })
  return { a: hashOf(into.a), b: hashOf(into.b), energies }
}

test("factors taken some at a time are to the bit what they are stacked at once, and nothing else is written", () => {
  const sizes = fc.record({
    rows: fc.integer({ min: 1, max: 40 }),
    cols: fc.integer({ min: 1, max: 40 }),
    ranks: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: CLIENTS_AT_ONCE + 4 }),
    seed: fc.nat(),
  })
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: CLIENTS_AT_ONCE }), fc.nat(3), (each, atOnce, behind) => {
      eachLinalg(() => expect(takeAll(each, atOnce, behind)).toEqual(placedAtOnce(each, behind)))
    }),
    { seed: 20260101, numRuns: 25 },
  )
})

test("so are large ones, which go past the caches, on 1, 2 and 5 threads", () => {
  eachNativeLinalg(() => {
    const sizes = { rows: 2500, cols: 1312, ranks: [8, 16, 7, 32, 4], seed: 2 }
    const [wanted, withRoom] = [placedAtOnce(sizes, 0), placedAtOnce(sizes, 3)]
    for (const threads of [1, 2, 5]) {
      addon().setThreads(threads)
      for (const atOnce of [3, 8]) expect(takeAll(sizes, atOnce, 3)).toEqual(withRoom)
      expect(takeAll(sizes, 8, 0)).toEqual(wanted)
    }
  })
  addon().setThreads(addon().processors())
})

test("four modules and more side by side, of different sizes, come out as each alone", () => {
  const all = Array.from({ length: 6 }, (_, i) => ({ rows: 30 + 9 * i, cols: 40 + i, ranks: [2, 5, 1 + i], seed: i }))
  eachLinalg(() => {
    const list = all.map((sizes) => {
      const { products, ...place } = placeOf(sizes)
      return { ...place, at: 0, clients: clientsOf(sizes), products: { before: undefined, after: products[0] } }
    })
    expect(takeFactors(list)).toBe(-1)
    for (const [i, { rows, into, total: rank, products }] of list.entries())
      expect({
        ...{ a: hashOf(into.a), b: hashOf(into.b), energies: energiesOfTaken({ rows, rank }, products.after) },
      }).toEqual(takeAll(all[i]!, 8, 0))
  })
})

test("the first module with a value that is not finite is told, also where a scale hides or overflows it", () => {
  const sizes = { rows: 30, cols: 50, ranks: [2, 3, 1], seed: 1 }
  const make = (scaled: (scale: number) => number): TakenFactors[] =>
    Array.from({ length: 6 }, () => {
      const { products, ...place } = placeOf(sizes)
      const clients = clientsOf(sizes).map((client) => ({ ...client, scale: scaled(client.scale) }))
      return { ...place, at: 0, clients, products: { before: undefined, after: products[0] } }
    })
  eachLinalg(() => {
    for (const [at, client, side, index, value] of [
      [0, 0, "a", 99, NaN],
      [4, 1, "b", 89, Infinity],
      [5, 2, "a", 0, -Infinity],
    ] as const)
      for (const scaled of [(scale: number) => scale, () => 0]) {
        const list = make(scaled)
        list[at]!.clients[client]![side][index] = value
        list[5]!.clients[2]!.b[0] = NaN
        expect(takeFactors(list)).toBe(at)
      }
    // finite values whose product with the scale is not are taken as they are
    expect(takeFactors(make(() => 1e300))).toBe(-1)
    expect(takeFactors([])).toBe(-1)
  })
})

test("rounding is told for scales far from 1 as for others, as far as f32 goes", () => {
  const sizes = { rows: 40, cols: 64, ranks: [3, 5], seed: 9 }
  eachNativeLinalg(() => {
    const relative = [0.7, 0.7 * 2 ** -50, 0.7 * 2 ** 40, 0.7 * 2 ** -62, 0.7 * 2 ** 58].map((scale) => {
      const { products, ...place } = placeOf(sizes)
      // the probes are summed in f32: B keeps the products where they have squares
      const clients = clientsOf(sizes).map((each) => ({ ...each, scale, b: each.b.map((value) => value / scale) }))
      takeFactors([{ ...place, at: 0, clients, products: { before: undefined, after: products[0] } }])
      const { size, rounding } = energiesOfTaken({ rows: sizes.rows, rank: 8 }, products[0])
      return Math.sqrt(rounding / size)
    })
    // powers of two change no bit of A's rounding; B's, in its own f32, moves the last bits of both
    for (const each of relative) expect(Math.abs(each / relative[0]! - 1)).toBeLessThan(1e-5)
    expect(relative[0]).toBeLessThan(2 ** -24)
    expect(relative[0]).toBeGreaterThan(2 ** -28)
  })
})

test("lengths that do not fit are refused", () => {
  const sizes = { rows: 3, cols: 4, ranks: [2], seed: 1 }
  const { products, ...place } = placeOf(sizes)
  const clients = clientsOf(sizes)
  const taken: TakenFactors = { ...place, at: 0, clients, products: { before: undefined, after: products[0] } }
  const short = new Float32Array(5)
  const wrong = expect.objectContaining({ code: "KERNEL_SHAPE" })
  eachLinalg(() => {
    for (const spoilt of [
      { ...taken, clients: [{ ...clients[0]!, a: short }] },
      { ...taken, clients: [{ ...clients[0]!, b: short }] },
      {
        ...taken,
        clients: new Array<ClientFactors>(CLIENTS_AT_ONCE + 1).fill({
          rank: 0,
          scale: 1,
          a: new Float32Array(),
          b: new Float32Array(),
        }),
      },
      { ...taken, at: 1 },
      { ...taken, into: { ...taken.into, a: short } },
      { ...taken, into: { ...taken.into, b: short } },
      { ...taken, products: { ...taken.products, before: short } },
      { ...taken, products: { ...taken.products, after: short } },
    ])
      expect(() => takeFactors([spoilt])).toThrow(wrong)
    expect(() => energiesOfTaken({ rows: 3, rank: 2 }, short)).toThrow(wrong)
  })
})
