import { expectShape, KernelError } from "../errors.js"
import { addon } from "../native/addon.js"
import { checkStatus } from "../native/status.js"
import { linalgBackend } from "./linalg.js"
import { addColumns, energiesOfProducts, scaleRows } from "./reference/stack.js"
import { randomSigns, SIGN_PROBES, signProbes } from "./sign-probes.js"
import { energiesOf } from "./stack.js"
import type { StackEnergies, StackPlace } from "./stack.js"

/** As many modules as one call of the addon takes. */
const TAKEN_AT_ONCE = 4

/** As many clients as one call of takeFactors takes. */
export const CLIENTS_AT_ONCE = 16

/** What takeFactors notes of every row of B. */
export const PRODUCTS_PER_ROW = 2 * SIGN_PROBES

/** What one client sent of a module: A (r,N) and B (M,r), and what A is multiplied by. */
export interface ClientFactors {
  readonly rank: number
  readonly scale: number
  readonly a: Float32Array
  readonly b: Float32Array
}

/** What up to CLIENTS_AT_ONCE clients sent of one module (M,N), and where it goes. */
export interface TakenFactors extends StackPlace {
  /** M and N. */
  readonly rows: number
  readonly cols: number
  readonly clients: readonly ClientFactors[]
  /**
   * (M, PRODUCTS_PER_ROW): those of the ranks below `at`, none where there are none, and where those of all go. The two
   * may not be one array, so that what was there stays while nobody knows what comes.
   */
  readonly products: { readonly before: Float32Array | undefined; readonly after: Float32Array }
}

/**
 * Writes scale·A, each value rounded to f32 once, to rows and B to columns from `at` on, and adds up what
 * energiesOfTaken needs, in one pass over the values. The index of the first module with a value that is infinite or
 * NaN (what is written there means nothing); -1 where there is none. Throws KERNEL_SHAPE.
 */
export function takeFactors(list: readonly TakenFactors[]): number {
  for (const taken of list) check(taken)
  if (linalgBackend() === "reference") return list.findIndex((taken) => !takeByReference(taken))
  for (let from = 0; from < list.length; from += TAKEN_AT_ONCE) {
    const some = list.slice(from, from + TAKEN_AT_ONCE)
    const finite = new Int32Array(some.length)
    const args = some.flatMap(({ rows, cols, clients, at, total, into, products }) => [
      ...[rows, cols, Int32Array.from(clients, ({ rank }) => rank), Float64Array.from(clients, ({ scale }) => scale)],
      ...clients.flatMap(({ a, b }) => [a, b]),
      ...[at, total, into.a, into.b, randomSigns(cols), products.before, products.after],
    ])
    checkStatus("takeFactors", addon().takeFactors(some.length, ...args, finite))
    const wrong = finite.indexOf(0)
    if (wrong !== -1) return from + wrong
  }
  return -1
}

/** What placeFactorsProbed estimates of the same clients, to the bit, from the products of all their ranks. */
export function energiesOfTaken(
  { rows, rank }: { readonly rows: number; readonly rank: number },
  products: Float32Array,
): StackEnergies {
  expectShape("energiesOfTaken: products", rows * PRODUCTS_PER_ROW, products.length)
  if (linalgBackend() === "reference") return energiesOf(energiesOfProducts(products))
  const energies = new Float64Array(PRODUCTS_PER_ROW)
  checkStatus("energiesOfTaken", addon().productEnergies(rows, rank, products, energies))
  return energiesOf(energies)
}

function check({ rows, cols, clients, at, total, into, products }: TakenFactors): void {
  for (const { rank, a, b } of clients) {
    expectShape("takeFactors: values of A", rank * cols, a.length)
    expectShape("takeFactors: values of B", rows * rank, b.length)
  }
  expectShape("takeFactors: values of A to write", total * cols, into.a.length)
  expectShape("takeFactors: values of B to write", rows * total, into.b.length)
  for (const some of [products.before ?? products.after, products.after])
    expectShape("takeFactors: products", rows * PRODUCTS_PER_ROW, some.length)
  const ranks = clients.reduce((sum, { rank }) => sum + rank, 0)
  if (at + ranks > total || clients.length > CLIENTS_AT_ONCE)
    throw new KernelError(
      "KERNEL_SHAPE",
      `takeFactors: expected place for ${ranks} ranks of at most ${CLIENTS_AT_ONCE} clients from ${at}, got ${total} ` +
        `in all and ${clients.length} clients`,
    )
}

/** True where every value is finite. */
function takeByReference({ rows, cols, clients, at, total, into, products }: TakenFactors): boolean {
  if (products.before) products.after.set(products.before)
  else products.after.fill(0)
  const signs = signProbes(cols)
  let row = at
  for (const { rank, scale, a, b } of clients) {
    const block = { cols, ranks: Int32Array.of(rank), scales: Float64Array.of(scale), a }
    const sums = scaleRows(block, into.a.subarray(row * cols, (row + rank) * cols), signs)
    addColumns({ rows, rank, b }, { at: row, total, into: into.b }, { sums, products: products.after })
    row += rank
  }
  return clients.every(({ a, b }) => [a, b].every((values) => values.every((value) => Number.isFinite(value))))
}
