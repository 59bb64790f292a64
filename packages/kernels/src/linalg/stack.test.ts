import fc from "fast-check"

import { addon } from "../native/addon.js"
import { eachLinalg, eachNativeLinalg } from "../testing/each-linalg.js"
import { seededRandom } from "../testing/random.js"
import { addProduct, chooseLinalgBackend } from "./linalg.js"
import { energy } from "./matrix.js"
import type { Matrix } from "./matrix.js"
import { referenceMultiply } from "./reference/multiply.js"
import { SIGN_PROBES, signProbes } from "./sign-probes.js"
import { copyFloats, firstBeyond, placeFactors, placeFactorsProbed } from "./stack.js"
import type { FactorBlocks } from "./stack.js"

const RUNS = { seed: 20260101, numRuns: 25 }

interface Sizes {
  readonly rows: number
  readonly cols: number
  readonly ranks: readonly number[]
  readonly seed: number
}

function blocksOf({ rows, cols, ranks, seed }: Sizes): FactorBlocks {
  const random = seededRandom(seed)
  const rank = ranks.reduce((sum, each) => sum + each, 0)
  return {
    ...{ rows, cols, ranks: Int32Array.from(ranks), a: random.floats(rank * cols), b: random.floats(rows * rank) },
    scales: Float64Array.from(ranks, (_, k) => 0.3 * (k + 1)),
  }
}

const anyBlocks = fc
  .record({
    rows: fc.integer({ min: 1, max: 40 }),
    cols: fc.integer({ min: 1, max: 40 }),
    ranks: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 }),
    seed: fc.nat(),
  })
  .map(blocksOf)

/** A (R,N) with scales in f64, and B (M,R), element by element. */
function matricesOf({ rows, cols, ranks, scales, a, b }: FactorBlocks): { a: Matrix; b: Matrix } {
  const owner = Array.from(ranks).flatMap((rank, k) => new Array<number>(rank).fill(k))
  const firsts = Array.from(ranks, (_, k) => owner.indexOf(k))
  const columns = owner.length
  return {
    a: { rows: columns, cols, data: Float64Array.from(a, (value, i) => scales[owner[Math.floor(i / cols)]!]! * value) },
    b: {
      ...{ rows, cols: columns },
      data: Float64Array.from({ length: rows * columns }, (_, at) => {
        const [i, column] = [Math.floor(at / columns), at % columns]
        const k = owner[column]!
        return b[firsts[k]! * rows + i * ranks[k]! + (column - firsts[k]!)]!
      }),
    },
  }
}

function sameBits(left: Float32Array, right: Float32Array): boolean {
  return Buffer.from(left.buffer, left.byteOffset, left.byteLength).equals(
    Buffer.from(right.buffer, right.byteOffset, right.byteLength),
  )
}

afterEach(() => chooseLinalgBackend("native"))

test("factors go to their places, A scaled and rounded once, and nothing else is written", () => {
  fc.assert(
    fc.property(anyBlocks, fc.nat(5), fc.nat(5), (blocks, at, behind) => {
      const { a, b } = matricesOf(blocks)
      const total = at + a.rows + behind
      eachLinalg(() => {
        const into = {
          a: new Float32Array(total * a.cols).fill(7),
          b: new Float32Array(b.rows * total).fill(7),
        }
        placeFactors(blocks, { at, total, into })
        const wantedA = new Float32Array(total * a.cols).fill(7)
        wantedA.set(a.data, at * a.cols)
        expect(into.a).toEqual(wantedA)
        const wantedB = Float32Array.from({ length: b.rows * total }, (_, i) => {
          const column = (i % total) - at
          return column >= 0 && column < b.cols ? b.data[Math.floor(i / total) * b.cols + column]! : 7
        })
        expect(into.b).toEqual(wantedB)
      })
    }),
    RUNS,
  )
})

test("energies of the probes are those of B·A·z and B·E·z, computed one by one", () => {
  fc.assert(
    fc.property(anyBlocks, (blocks) => {
      const { a, b } = matricesOf(blocks)
      const rounding = { ...a, data: a.data.map((value) => Math.fround(value) - value) }
      const signs = signProbes(a.cols)
      const mean = (matrix: Matrix): number => {
        let sum = 0
        for (let p = 0; p < SIGN_PROBES; p++) {
          const z = { rows: a.cols, cols: 1, data: Float64Array.from(signs.subarray(p * a.cols, (p + 1) * a.cols)) }
          sum += energy(referenceMultiply(b, referenceMultiply(matrix, z))) / SIGN_PROBES
        }
        return sum
      }
      const wanted = { size: mean(a), rounding: mean(rounding) }
      // sums of N and R terms in f32, with (N + R + 2)·u of the norms multiplied (Higham 3.1), squared
      const bound = (matrix: Matrix): number =>
        4 * (a.cols + a.rows + 2) * 2 ** -24 * energy(b) * energy(matrix) * a.cols * SIGN_PROBES
      eachLinalg(() => {
        const into = { a: new Float32Array(a.data.length), b: new Float32Array(b.data.length) }
        const got = placeFactorsProbed(blocks, { at: 0, total: a.rows, into })
        expect(Math.abs(got.size - wanted.size)).toBeLessThanOrEqual(bound(a))
        expect(Math.abs(got.rounding - wanted.rounding)).toBeLessThanOrEqual(bound(rounding))
        expect(into.a).toEqual(new Float32Array(a.data))
      })
    }),
    RUNS,
  )
})

test("signs are as documented, as many of either kind as chance has it, and probes orthogonal", () => {
  const signs = signProbes(4096)
  // dropHash(0, 0) = 2771556020 and dropHash(0, 1) = 4088560018, both above 2^31; probe 1 turns every second sign
  expect([signs[0], signs[1], signs[4096], signs[4097]]).toEqual([1, 1, 1, -1])
  expect(new Set(signs)).toEqual(new Set([1, -1]))
  for (let p = 0; p < SIGN_PROBES; p++)
    for (let q = 0; q <= p; q++) {
      let dot = 0
      for (let j = 0; j < 4096; j++) dot += signs[p * 4096 + j]! * (q === p ? 1 : signs[q * 4096 + j]!)
      // a sum of 4096 signs has standard deviation 64
      if (q === p) expect(Math.abs(dot)).toBeLessThan(4 * 64)
      else expect(dot).toBe(0)
    }
})

test("a stack has the same bits on 1, 2 and 5 threads, and written over its own A", () => {
  const blocks = blocksOf({ rows: 700, cols: 901, ranks: new Array<number>(30).fill(8), seed: 1 })
  const wanted = new Float32Array(matricesOf(blocks).a.data)
  eachNativeLinalg(() => {
    const apart = { a: new Float32Array(blocks.a.length), b: new Float32Array(blocks.b.length) }
    const wantedEnergies = placeFactorsProbed(blocks, { at: 0, total: 240, into: apart })
    const results = [1, 2, 5].map((threads) => {
      addon().setThreads(threads)
      const into = { a: blocks.a.slice(), b: new Float32Array(blocks.b.length) }
      return { energies: placeFactorsProbed({ ...blocks, a: into.a }, { at: 0, total: 240, into }), into }
    })
    for (const { energies, into } of results) {
      expect(energies).toEqual(wantedEnergies)
      expect(sameBits(into.a, wanted)).toBe(true)
      expect(sameBits(into.b, apart.b)).toBe(true)
    }
  })
  addon().setThreads(addon().processors())
})

test("the first value that is not finite is found, wherever it is", () => {
  const values = seededRandom(1).floats(200_000)
  eachLinalg(() => {
    expect(firstBeyond(values)).toBe(-1)
    expect(firstBeyond(new Float32Array(0))).toBe(-1)
    for (const [at, value] of [
      [0, NaN],
      [70_001, -Infinity],
      [199_999, Infinity],
    ] as const) {
      const spoilt = values.slice()
      spoilt[at] = value
      spoilt[199_999] = NaN
      expect(firstBeyond(spoilt)).toBe(at)
    }
  })
})

test("the first value beyond a bound is found, and the bound itself is within", () => {
  eachLinalg(() => {
    const values = Float32Array.of(-0, 1e-40, 1000, -1000, 0, 1)
    expect(firstBeyond(values, 1000)).toBe(-1)
    expect(firstBeyond(values, 999.99999)).toBe(2)
    expect(firstBeyond(values, 0)).toBe(1)
    expect(firstBeyond(Float32Array.of(0, 1, -1001, NaN), 1000)).toBe(2)
    expect(firstBeyond(Float32Array.of(0, Infinity), Infinity)).toBe(1)
    // 0.1 lies between two f32
    expect(firstBeyond(Float32Array.of(Math.fround(0.1)), 0.1)).toBe(Math.fround(0.1) > 0.1 ? 0 : -1)
    expect(firstBeyond(Float32Array.of(0.09999999), 0.1)).toBe(-1)
    expect(firstBeyond(Float32Array.of(0.10000001), 0.1)).toBe(0)
  })
})

test("copies equal what was copied, at any alignment", () => {
  const values = seededRandom(2).floats(50_000)
  eachLinalg(() => {
    for (const at of [0, 3]) {
      const into = new Float32Array(50_010).fill(7)
      copyFloats(values, into.subarray(at, at + values.length))
      expect(sameBits(into.subarray(at, at + values.length), values)).toBe(true)
      expect(
        [into.subarray(0, at), into.subarray(at + values.length)].every((rest) => rest.every((v) => v === 7)),
      ).toBe(true)
    }
  })
})

test("addProduct adds factor times the product", () => {
  const [left, right] = [
    { rows: 30, cols: 20, data: Float64Array.from(seededRandom(3).floats(600)) },
    { rows: 20, cols: 40, data: Float64Array.from(seededRandom(4).floats(800)) },
  ]
  const product = referenceMultiply(left, right).data
  eachLinalg(() => {
    const sum = { rows: 30, cols: 40, data: new Float64Array(1200).fill(2) }
    addProduct(sum, -3, [left, right])
    // 20 terms below 1, times 3, in another order: 60 · 20 · 2^-53 = 1.4e-13
    for (const [i, value] of sum.data.entries()) expect(Math.abs(value - (2 - 3 * product[i]!))).toBeLessThan(1.4e-13)
  })
})

test("lengths that do not fit are refused", () => {
  const blocks = blocksOf({ rows: 3, cols: 4, ranks: [2], seed: 1 })
  const into = { a: new Float32Array(8), b: new Float32Array(6) }
  const wrong = expect.objectContaining({ code: "KERNEL_SHAPE" })
  const matrix = { rows: 2, cols: 2, data: new Float64Array(4) }
  eachLinalg(() => {
    for (const refused of [
      () => placeFactors({ ...blocks, a: new Float32Array(7) }, { at: 0, total: 2, into }),
      () => placeFactors({ ...blocks, scales: new Float64Array(2) }, { at: 0, total: 2, into }),
      () => placeFactors(blocks, { at: 0, total: 3, into }),
      () => placeFactors(blocks, { at: 1, total: 2, into }),
      () => copyFloats(new Float32Array(2), new Float32Array(3)),
      () => addProduct(matrix, 1, [matrix, { rows: 3, cols: 2, data: new Float64Array(6) }]),
    ])
      expect(refused).toThrow(wrong)
  })
})
