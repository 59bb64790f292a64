import { addon } from "../native/addon.js"
import { eachLinalg } from "../testing/each-linalg.js"
import { seededRandom } from "../testing/random.js"
import { addFactors } from "./add-factors.js"
import type { FactorTerm } from "./add-factors.js"
import { addProduct, matrixOf } from "./linalg.js"
import { zeros } from "./matrix.js"

/** Rows, columns, rank: more than a list of the addon takes, and among them two too large for one thread. */
const SIZES = Array.from({ length: 60 }, (_, i) => [1 + ((i * 7) % 30), 1 + ((i * 11) % 40), 1 + ((i * 5) % 60)])
  .toSpliced(5, 0, [300, 400, 100])
  .toSpliced(40, 0, [4, 4, 9_000]) as [number, number, number][]

function termsOf(seed: number): FactorTerm[] {
  const random = seededRandom(seed)
  return SIZES.map(([rows, cols, rank], i) => ({
    sum: { rows, cols, data: Float64Array.from(random.floats(rows * cols)) },
    ...{ rank, scale: 0.1 * (i + 1), a: random.floats(rank * cols), b: random.floats(rows * rank) },
  }))
}

test("the bits are those of one product after another, on any number of threads", () => {
  eachLinalg(() => {
    const one = termsOf(3)
    for (const { sum, rank, scale, a, b } of one)
      addProduct(sum, 1, [
        matrixOf(b, { rows: sum.rows, cols: rank, scale: 1 }),
        matrixOf(a, { rows: rank, cols: sum.cols, scale }),
      ])
    for (const threads of [1, 2, 5]) {
      addon().setThreads(threads)
      const together = termsOf(3)
      addFactors(together)
      for (const [i, { sum }] of together.entries())
        expect(Buffer.compare(Buffer.from(sum.data.buffer), Buffer.from(one[i]!.sum.data.buffer))).toBe(0)
    }
    addon().setThreads(addon().processors())
  })
})

test("no terms are nothing, and factors that do not fit leave all sums alone", () => {
  const refused = expect.objectContaining({ code: "KERNEL_SHAPE" })
  eachLinalg(() => {
    addFactors([])
    const fits = { sum: zeros(2, 2), rank: 1, scale: 1, a: new Float32Array(2).fill(1), b: new Float32Array(2).fill(1) }
    expect(() => addFactors([fits, { ...fits, sum: zeros(2, 2), a: new Float32Array(3) }])).toThrow(refused)
    expect(() => addFactors([fits, { ...fits, sum: zeros(2, 2), b: new Float32Array(1) }])).toThrow(refused)
    expect([...fits.sum.data]).toEqual([0, 0, 0, 0])
  })
})
