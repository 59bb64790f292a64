import fc from "fast-check"

import { addon } from "../native/addon.js"
import { eachLinalg, eachNativeLinalg } from "../testing/each-linalg.js"
import { seededRandom } from "../testing/random.js"
import { chooseLinalgBackend } from "./linalg.js"
import { placeFactorsProbed } from "./stack.js"
import { interleaveProbed, SUMS_PER_ROW, takeFactors } from "./taken-factors.js"
import type { TakenFactors } from "./taken-factors.js"

afterEach(() => chooseLinalgBackend("native"))

interface Sizes {
  readonly rows: number
  readonly cols: number
  readonly ranks: readonly number[]
  readonly seed: number
}

/** One client after another, each with room behind what came before. */
function takenOf({ rows, cols, ranks, seed }: Sizes) {
  const random = seededRandom(seed)
  const rank = ranks.reduce((sum, each) => sum + each, 0)
  const into = {
    a: new Float32Array(rank * cols).fill(7),
    b: new Float32Array(rows * rank).fill(7),
    sums: new Float64Array(rank * SUMS_PER_ROW).fill(7),
  }
  let at = 0
  const list = ranks.map((own, k): TakenFactors => {
    const [from, to] = [at, (at += own)]
    return {
      ...{ rows, cols, rank: own, scale: 0.3 * (k + 1), a: random.floats(own * cols), b: random.floats(rows * own) },
      into: {
        a: into.a.subarray(from * cols, to * cols),
        b: into.b.subarray(from * rows, to * rows),
        sums: into.sums.subarray(from * SUMS_PER_ROW, to * SUMS_PER_ROW),
      },
    }
  })
  return { list, into, ranks: Int32Array.from(ranks), rows, cols, rank }
}

/** What they are stacked to, and by placeFactorsProbed, from all of them at once. */
function bothStacks(sizes: Sizes) {
  const { list, into, ranks, rows, cols, rank } = takenOf(sizes)
  expect(takeFactors(list)).toBe(-1)
  const b = new Float32Array(rows * rank)
  const energies = interleaveProbed({ rows, ranks, b: into.b, sums: into.sums }, b)
  const joined = (side: "a" | "b"): Float32Array => Float32Array.from(list.flatMap((taken) => [...taken[side]]))
  const blocks = { rows, cols, ranks, scales: Float64Array.from(list, ({ scale }) => scale) }
  const wanted = { a: new Float32Array(rank * cols), b: new Float32Array(rows * rank) }
  const wantedEnergies = placeFactorsProbed(
    { ...blocks, a: joined("a"), b: joined("b") },
    { at: 0, total: rank, into: wanted },
  )
  return { got: { a: into.a, b, energies }, wanted: { ...wanted, energies: wantedEnergies } }
}

test("factors taken one by one are to the bit what they are when stacked at once", () => {
  const sizes = fc.record({
    rows: fc.integer({ min: 1, max: 40 }),
    cols: fc.integer({ min: 1, max: 40 }),
    ranks: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 }),
    seed: fc.nat(),
  })
  fc.assert(
    fc.property(sizes, (each) => {
      eachLinalg(() => {
        const { got, wanted } = bothStacks(each)
        expect(got).toEqual(wanted)
      })
    }),
    { seed: 20260101, numRuns: 25 },
  )
})

test("so are large ones, which go past the caches, on 1, 2 and 5 threads", () => {
  eachNativeLinalg(() => {
    for (const threads of [1, 2, 5]) {
      addon().setThreads(threads)
      const { got, wanted } = bothStacks({ rows: 2500, cols: 1300, ranks: [8, 16, 7, 64, 4], seed: 2 })
      expect(got).toEqual(wanted)
    }
  })
  addon().setThreads(addon().processors())
})

test("the first with a value that is not finite is told, also where a scale hides or overflows it", () => {
  eachLinalg(() => {
    const make = () => takenOf({ rows: 30, cols: 50, ranks: [2, 3, 1, 2, 5, 3], seed: 1 })
    for (const [at, side, index, value] of [
      [0, "a", 99, NaN],
      [4, "b", 149, Infinity],
      [5, "a", 0, -Infinity],
    ] as const) {
      const { list } = make()
      list[at]![side][index] = value
      list[5]!.b[0] = NaN
      expect(takeFactors(list)).toBe(at)
      expect(takeFactors(list.map((taken) => ({ ...taken, scale: 0 })))).toBe(at)
    }
    // finite values whose product with the scale is not are taken as they are
    const { list } = make()
    expect(takeFactors(list.map((taken) => ({ ...taken, scale: 1e300 })))).toBe(-1)
    expect(takeFactors([])).toBe(-1)
  })
})

test("lengths that do not fit are refused", () => {
  const { list, into, ranks } = takenOf({ rows: 3, cols: 4, ranks: [2], seed: 1 })
  const [taken] = list as [TakenFactors]
  const wrong = expect.objectContaining({ code: "KERNEL_SHAPE" })
  eachLinalg(() => {
    for (const spoilt of [
      { ...taken, a: new Float32Array(7) },
      { ...taken, b: new Float32Array(7) },
      { ...taken, into: { ...taken.into, a: new Float32Array(9) } },
      { ...taken, into: { ...taken.into, b: new Float32Array(5) } },
      { ...taken, into: { ...taken.into, sums: new Float64Array(8) } },
    ])
      expect(() => takeFactors([spoilt])).toThrow(wrong)
    for (const spoilt of [
      { rows: 3, ranks, b: into.b, sums: new Float64Array(8) },
      { rows: 3, ranks, b: new Float32Array(5), sums: into.sums },
    ])
      expect(() => interleaveProbed(spoilt, new Float32Array(6))).toThrow(wrong)
    expect(() => interleaveProbed({ rows: 3, ranks, b: into.b, sums: into.sums }, new Float32Array(7))).toThrow(wrong)
  })
})
