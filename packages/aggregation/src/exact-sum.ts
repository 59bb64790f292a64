import { scaleOf } from "@lamina/protocol"
import type { AdapterModule } from "@lamina/protocol"

import {
  addFactors,
  addProduct,
  energy,
  floatsOf,
  productNorms,
  stackColumns,
  stackRows,
  zeros,
} from "@lamina/kernels/linalg"
import type { FactorTerm, Matrix } from "@lamina/kernels/linalg"
import { FactorStore } from "./factor-store.js"
import { matricesOf, moduleOf, newScratches } from "./module-factors.js"
import type { FactorScratches } from "./module-factors.js"
import type { RoundMemory } from "./round-memory.js"
import { relativeTo } from "./strategy.js"
import { isZero, PROBED_COLUMNS } from "./taken-stack.js"
import type { StackedModule } from "./taken-stack.js"

/** Ranks that wait, once the sum is dense, until they are worth a pass over it: 8 MB at 4,096 features. */
const WAITING_RANKS = 256

/**
 * dW* = sum p_k s_k B_k A_k of one module, exact. While R = sum r_k is at most min(M, N) it is a stack of f32 factors;
 * beyond that the factors would outgrow the sum itself (4 R (M + N) > 8 M N bytes from R = 2 M N / (M + N) >= min(M, N)
 * on), so they are multiplied out into one dense f64 sum, and from then on some hundred ranks at a time. Never more
 * than 8 M N bytes and 4 (M + N) (WAITING_RANKS + r) afterwards, however many clients there are; up to 16 M N while one
 * module passes from the one form to the other.
 */
export class ExactSum {
  readonly #size: { readonly name: string; readonly outFeatures: number; readonly inFeatures: number }
  readonly #rankMax: number
  #store: FactorStore | undefined
  /** Room that the next ranks wait in. */
  #emptied: FactorStore | undefined
  #rankExpected: number
  #dense: Matrix | undefined
  readonly #scratches: FactorScratches

  /** `clients`: how many are likely to bring as much as this module. `scratches`: shared by the sums of a round. */
  constructor(
    { name, outFeatures, inFeatures, rank }: AdapterModule,
    { clients, scratches = newScratches() }: { clients: number; scratches?: FactorScratches },
  ) {
    this.#size = { name, outFeatures, inFeatures }
    this.#scratches = scratches
    this.#rankMax = Math.min(outFeatures, inFeatures)
    this.#rankExpected = Math.min(clients * rank, this.#rankMax + rank)
  }

  /**
   * Adds share·s·B·A; the values are copied, or multiplied out at once where the module has more rank than may wait. A
   * module that is zero in A and B adds no rank.
   */
  add(module: AdapterModule, share: number): void {
    addFactors(this.addOrTerm(module, share))
  }

  /** The same, but for what is to be multiplied out at once: that is left to the caller's `addFactors`. */
  addOrTerm(module: AdapterModule, share: number): FactorTerm[] {
    if (isZero(module)) return []
    const waiting = this.#dense ? Math.min(WAITING_RANKS, this.#rankMax) : this.#rankMax
    const { rank, a, b } = module
    const scale = share * scaleOf(module)
    if (!this.#store && rank > waiting) return [{ sum: this.#denseSum(), rank, scale, a, b }]
    this.#store ??= this.#emptied ?? new FactorStore(module, this.#rankExpected)
    this.#store.append(module, scale)
    if (this.#store.rank > waiting) this.#multiplyOut()
    return []
  }

  /** Nothing was added, or nothing but zeros. */
  get isEmpty(): boolean {
    return !this.#dense && !this.#store
  }

  /** The whole sum over `divisor`. */
  divide(divisor: number): void {
    this.#store?.divide(divisor)
    const data = this.#dense?.data ?? []
    for (let i = 0; i < data.length; i++) data[i] = data[i]! / divisor
  }

  /**
   * The sum as a module of scale 1: rows p_k s_k A_k and columns B_k in the order added (FLoRA, arXiv:2409.05976,
   * equation 6), or the dense sum times an identity, of rank min(M, N). Undefined where nothing was added.
   */
  stack(): AdapterModule | undefined {
    const dense = this.#settle()
    return dense ? denseModule(this.#size.name, dense) : this.#store?.stack(this.#size.name)
  }

  /**
   * What rounding did to `stack`: B is copied, so of factors it is ||B·E||_F / ||B·A||_F, E the rounding of A. By a QR
   * of the stack.
   */
  roundingOf(stack: AdapterModule): number {
    const dense = this.#settle()
    if (dense) return roundingError(dense, dense.cols <= dense.rows ? stack.b : stack.a)
    const { b, a } = this.#store!.matrices()
    const rounding = { ...a, data: a.data.map((value, i) => stack.a[i]! - value) }
    const [size, distance] = productNorms(b, [a, rounding])
    return relativeTo(size!, distance!)
  }

  /**
   * `stack` and `roundingOf` in one pass over the factors, in their own memory and that of `memory`; empty afterwards.
   * The rounding of factors with 256 columns or more is estimated by sign probes (signProbes in @lamina/kernels says
   * how far off: about 0.7 / sqrt(rank) of its square), and the same to the bit each time.
   */
  takeStack(memory: RoundMemory): StackedModule | undefined {
    const { name, inFeatures } = this.#size
    const store = this.#store
    if (this.#dense || !store || inFeatures < PROBED_COLUMNS) {
      const module = this.stack()
      const relativeError = module && this.roundingOf(module)
      this.#forget()
      return module && { module, relativeError: relativeError! }
    }
    this.#forget()
    return store.take(name, memory)
  }

  /**
   * ||s·B·A - dW*||_F / ||dW*||_F of another module. In factor space it is the norm of one product, [B_1 ... B_K,
   * B]·[p_1 s_1 A_1; ...; -s A], so that nothing cancels before its norm.
   */
  errorOf(module: AdapterModule): number {
    const dense = this.#settle()
    if (dense) return relativeTo(Math.sqrt(energy(dense)), Math.sqrt(energy(minus(dense, module))))
    if (!this.#store) {
      const { b, a } = matricesOf(module, scaleOf(module))
      return relativeTo(0, productNorms(b, [a])[0]!)
    }
    const exact = this.#store.matrices()
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
    if (!this.#store) return negative
    const { b, a } = this.#store.matrices()
    return { b: stackColumns([b, negative.b]), a: stackRows([a, negative.a]) }
  }

  /** The dense sum with everything in it, where there is one. */
  #settle(): Matrix | undefined {
    if (this.#dense && this.#store) this.#multiplyOut()
    return this.#dense
  }

  #forget(): void {
    this.#store = undefined
    this.#emptied = undefined
    this.#dense = undefined
  }

  #multiplyOut(): void {
    const store = this.#store!
    // the first has room for as many ranks as a stack may have
    this.#emptied = this.#dense && store
    for (const { b, a } of store.pieces(this.#scratches)) addProduct(this.#denseSum(), 1, [b, a])
    store.clear()
    this.#store = undefined
  }

  #denseSum(): Matrix {
    const { outFeatures, inFeatures } = this.#size
    this.#rankExpected = Math.min(this.#rankExpected, WAITING_RANKS)
    // written first: memory that is read first shares a page of zeros, which a later write gives up on all processors
    if (!this.#dense) (this.#dense = zeros(outFeatures, inFeatures)).data.fill(0)
    return this.#dense
  }
}

function minus(dense: Matrix, module: AdapterModule): Matrix {
  const difference = { ...dense, data: dense.data.slice() }
  const { b, a } = matricesOf(module, scaleOf(module))
  addProduct(difference, -1, [b, a])
  return difference
}

/** D·I or I·D, whichever is smaller. */
function denseModule(name: string, dense: Matrix): AdapterModule {
  const { rows, cols } = dense
  const rank = Math.min(rows, cols)
  const [full, one] = [floatsOf(dense), identity(rank)]
  return {
    ...{ name, outFeatures: rows, inFeatures: cols, rank, alpha: rank, scaling: "lora" },
    ...(cols <= rows ? { b: full, a: one } : { b: one, a: full }),
  }
}

let lastIdentity: WeakRef<Float32Array> | undefined

/** One identity serves all modules of a size: nobody writes into an adapter's factors. */
function identity(size: number): Float32Array {
  const known = lastIdentity?.deref()
  if (known?.length === size * size) return known
  const values = new Float32Array(size * size)
  for (let i = 0; i < size; i++) values[i * size + i] = 1
  lastIdentity = new WeakRef(values)
  return values
}

function roundingError({ data }: Matrix, rounded: Float32Array): number {
  let [size, distance] = [0, 0]
  for (let i = 0; i < data.length; i++) {
    size += data[i]! * data[i]!
    distance += (rounded[i]! - data[i]!) ** 2
  }
  return relativeTo(Math.sqrt(size), Math.sqrt(distance))
}
