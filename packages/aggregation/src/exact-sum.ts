import { scaleOf } from "@lamina/protocol"
import type { AdapterModule } from "@lamina/protocol"

import { energy, multiply, productNorms, stackColumns, stackRows, zeros } from "@lamina/kernels/linalg"
import type { Matrix } from "@lamina/kernels/linalg"
import { matricesOf, moduleOf } from "./module-factors.js"
import { relativeTo } from "./strategy.js"

/** One client's factors, copied, and p_k s_k. */
interface Block {
  readonly module: AdapterModule
  readonly scale: number
}

/** Rows of a product that are added to the dense sum at once: 8 MB of f64 at 4,096 columns. */
const PANEL_ROWS = 256

/**
 * dW* = sum p_k s_k B_k A_k of one module, exact. While R = sum r_k is at most min(M, N) it is a stack of f32 factors;
 * beyond that the factors would outgrow the sum itself (4 R (M + N) > 8 M N bytes from R = 2 M N / (M + N) >= min(M, N)
 * on), so they are multiplied out into one dense f64 sum. Never more than 16 M N bytes, however many clients there are.
 */
export class ExactSum {
  readonly #size: { readonly name: string; readonly outFeatures: number; readonly inFeatures: number }
  #blocks: Block[] = []
  #blockRank = 0
  #dense: Matrix | undefined

  constructor({ name, outFeatures, inFeatures }: AdapterModule) {
    this.#size = { name, outFeatures, inFeatures }
  }

  /** Adds share·s·B·A; the values are copied. A module that is zero in A and B adds no rank. */
  add(module: AdapterModule, share: number): void {
    const isZero = [module.a, module.b].every((values) => values.every((value) => value === 0))
    if (isZero) return
    this.#blocks.push({
      module: { ...module, a: module.a.slice(), b: module.b.slice() },
      scale: share * scaleOf(module),
    })
    this.#blockRank += module.rank
    const { outFeatures, inFeatures } = this.#size
    if (this.#blockRank > Math.min(outFeatures, inFeatures)) this.#multiplyOut()
  }

  /** Nothing was added, or nothing but zeros. */
  get isEmpty(): boolean {
    return !this.#dense && this.#blocks.length === 0
  }

  /** The whole sum over `divisor`. */
  divide(divisor: number): void {
    this.#blocks = this.#blocks.map(({ module, scale }) => ({ module, scale: scale / divisor }))
    const data = this.#dense?.data ?? []
    for (let i = 0; i < data.length; i++) data[i] = data[i]! / divisor
  }

  /**
   * The sum as a module of scale 1, and what rounding did to it: rows p_k s_k A_k and columns B_k in the order added
   * (FLoRA, arXiv:2409.05976, equation 6), or the dense sum times an identity, of rank min(M, N). Undefined where
   * nothing was added.
   */
  stack(): { module: AdapterModule; relativeError: number } | undefined {
    const { name } = this.#size
    const dense = this.#settle()
    if (dense) {
      const module = denseModule(name, dense)
      const rounded = dense.cols <= dense.rows ? module.b : module.a
      return { module, relativeError: roundingError(dense, rounded) }
    }
    if (this.isEmpty) return undefined
    const { b, a } = this.#factors()
    const module = moduleOf(name, { b, a })
    // B is copied, so the difference is B times what rounding did to A
    const rounding = { ...a, data: a.data.map((value, i) => module.a[i]! - value) }
    const [size, distance] = productNorms(b, [a, rounding])
    return { module, relativeError: relativeTo(size!, distance!) }
  }

  /**
   * ||s·B·A - dW*||_F / ||dW*||_F of another module. In factor space it is the norm of one product, [B_1 ... B_K,
   * B]·[p_1 s_1 A_1; ...; -s A], so that nothing cancels before its norm.
   */
  errorOf(module: AdapterModule): number {
    const dense = this.#settle()
    if (dense) return relativeTo(Math.sqrt(energy(dense)), Math.sqrt(energy(minus(dense, module))))
    if (this.#blocks.length === 0) {
      const { b, a } = matricesOf(module, scaleOf(module))
      return relativeTo(0, productNorms(b, [a])[0]!)
    }
    const exact = this.#factors()
    const { b, a } = this.#difference(module)
    const padded = stackRows([exact.a, zeros(module.rank, a.cols)])
    const [size, distance] = productNorms(b, [padded, a])
    return relativeTo(size!, distance!)
  }

  /** dW* - s·B·A as a module of scale 1; what rounding does to it is relative to dW*, not to the difference. */
  residual(module: AdapterModule): AdapterModule {
    const dense = this.#settle()
    return dense
      ? denseModule(this.#size.name, minus(dense, module))
      : moduleOf(this.#size.name, this.#difference(module))
  }

  #difference(module: AdapterModule): { b: Matrix; a: Matrix } {
    const negative = matricesOf(module, -scaleOf(module))
    if (this.#blocks.length === 0) return negative
    const { b, a } = this.#factors()
    return { b: stackColumns([b, negative.b]), a: stackRows([a, negative.a]) }
  }

  #factors(): { b: Matrix; a: Matrix } {
    const parts = this.#blocks.map(({ module, scale }) => matricesOf(module, scale))
    return { a: stackRows(parts.map(({ a }) => a)), b: stackColumns(parts.map(({ b }) => b)) }
  }

  /** The dense sum with everything in it, where there is one. */
  #settle(): Matrix | undefined {
    if (this.#dense && this.#blocks.length > 0) this.#multiplyOut()
    return this.#dense
  }

  #multiplyOut(): void {
    const { outFeatures, inFeatures } = this.#size
    this.#dense ??= zeros(outFeatures, inFeatures)
    addProduct(this.#dense, this.#factors(), 1)
    this.#blocks = []
    this.#blockRank = 0
  }
}

/** sum += sign·b·a, some rows at a time. */
function addProduct(sum: Matrix, { b, a }: { b: Matrix; a: Matrix }, sign: 1 | -1): void {
  for (let from = 0; from < b.rows; from += PANEL_ROWS) {
    const rows = Math.min(PANEL_ROWS, b.rows - from)
    const panel = { rows, cols: b.cols, data: b.data.subarray(from * b.cols, (from + rows) * b.cols) }
    const { data } = multiply(panel, a)
    const at = from * sum.cols
    for (let i = 0; i < data.length; i++) sum.data[at + i] = sum.data[at + i]! + sign * data[i]!
  }
}

function minus(dense: Matrix, module: AdapterModule): Matrix {
  const difference = { ...dense, data: dense.data.slice() }
  addProduct(difference, matricesOf(module, scaleOf(module)), -1)
  return difference
}

/** D·I or I·D, whichever is smaller. */
function denseModule(name: string, dense: Matrix): AdapterModule {
  return dense.cols <= dense.rows
    ? moduleOf(name, { b: dense, a: identity(dense.cols) })
    : moduleOf(name, { b: identity(dense.rows), a: dense })
}

function identity(size: number): Matrix {
  const matrix = zeros(size, size)
  for (let i = 0; i < size; i++) matrix.data[i * size + i] = 1
  return matrix
}

function roundingError(exact: Matrix, rounded: Float32Array): number {
  const difference = { ...exact, data: exact.data.map((value, i) => rounded[i]! - value) }
  return relativeTo(Math.sqrt(energy(exact)), Math.sqrt(energy(difference)))
}
