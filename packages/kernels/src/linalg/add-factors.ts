import { expectShape } from "../errors.js"
import { addon } from "../native/addon.js"
import { checkStatus } from "../native/status.js"
import { addProduct, linalgBackend, matrixOf } from "./linalg.js"
import { Scratch } from "./matrix.js"
import type { Matrix } from "./matrix.js"

/** kFactors of native/product_f64.hpp. */
const TERMS_MAX = 24

/** What is added to a sum (M,N): scale·B·A of f32 factors B (M,K) and A (K,N). */
export interface FactorTerm {
  readonly sum: Matrix
  readonly scale: number
  readonly a: Float32Array
  readonly b: Float32Array
  /** K. */
  readonly rank: number
}

/**
 * sum += scale·B·A for each of these, in place, small ones side by side; each sum comes once. The bits are those of
 * `addProduct` of `matrixOf` B and scale times A. Throws KERNEL_SHAPE, and has added nothing then.
 */
export function addFactors(terms: readonly FactorTerm[]): void {
  for (const { sum, rank, a, b } of terms) {
    expectShape("addFactors: values of A", rank * sum.cols, a.length)
    expectShape("addFactors: values of B", sum.rows * rank, b.length)
  }
  if (linalgBackend() === "reference") return addOneByOne(terms)
  for (let first = 0; first < terms.length; first += TERMS_MAX) {
    const some = terms.slice(first, first + TERMS_MAX)
    const flat = some.flatMap(({ sum, rank, scale, a, b }) => [sum.rows, sum.cols, rank, scale, a, b, sum.data])
    checkStatus("addFactors", addon().addFactors(some.length, ...flat))
  }
}

function addOneByOne(terms: readonly FactorTerm[]): void {
  const [left, right] = [new Scratch(), new Scratch()]
  for (const { sum, rank, scale, a, b } of terms) {
    const product = [
      matrixOf(b, { rows: sum.rows, cols: rank, scale: 1 }, left),
      matrixOf(a, { rows: rank, cols: sum.cols, scale }, right),
    ] as const
    addProduct(sum, 1, product)
  }
}
