import { expectShape } from "../errors.js"
import { addon } from "../native/addon.js"
import { checkStatus } from "../native/status.js"
import { linalgBackend } from "./linalg.js"
import { placeColumns, scaleRows } from "./reference/stack.js"
import { SIGN_PROBES, signProbes } from "./sign-probes.js"
import { energiesOf } from "./stack.js"
import type { StackEnergies } from "./stack.js"

/** As many as one call of the addon takes. */
const TAKEN_AT_ONCE = 4

/** Numbers that `takeFactors` notes of every row of A. */
export const SUMS_PER_ROW = 2 * SIGN_PROBES

/** What one client sent of one module (M,N), and where it goes. */
export interface TakenFactors {
  /** M and N. */
  readonly rows: number
  readonly cols: number
  /** r */
  readonly rank: number
  /** What A is multiplied by. */
  readonly scale: number
  /** (r,N) */
  readonly a: Float32Array
  /** (M,r) */
  readonly b: Float32Array
  /** A (r,N), B (M,r) and the sums of the probes (r, SUMS_PER_ROW), all overwritten. */
  readonly into: { readonly a: Float32Array; readonly b: Float32Array; readonly sums: Float64Array }
}

/**
 * Writes scale·A, each value rounded to f32 once, B as it is, and what interleaveProbed needs of A, in one pass over
 * the values. The index of the first of `list` with a value that is infinite or NaN (what is written there means
 * nothing); -1 where there is none. Throws KERNEL_SHAPE.
 */
export function takeFactors(list: readonly TakenFactors[]): number {
  for (const { rows, cols, rank, a, b, into } of list) {
    expectShape("takeFactors: values of A", rank * cols, a.length)
    expectShape("takeFactors: values of B", rows * rank, b.length)
    expectShape("takeFactors: values of A to write", rank * cols, into.a.length)
    expectShape("takeFactors: values of B to write", rows * rank, into.b.length)
    expectShape("takeFactors: sums", rank * SUMS_PER_ROW, into.sums.length)
  }
  if (linalgBackend() === "reference") return list.findIndex((factors) => !takeByReference(factors))
  for (let from = 0; from < list.length; from += TAKEN_AT_ONCE) {
    const some = list.slice(from, from + TAKEN_AT_ONCE)
    const finite = new Int32Array(some.length)
    const args = some.flatMap(({ rows, cols, rank, scale, a, b, into }) => [
      ...[rows, cols, rank, scale, a, b],
      ...[into.a, into.b, into.sums, signProbes(cols)],
    ])
    checkStatus("takeFactors", addon().takeFactors(some.length, ...args, finite))
    const wrong = finite.indexOf(0)
    if (wrong !== -1) return from + wrong
  }
  return -1
}

/**
 * Writes the columns of B_1 (M,r_1), B_2 (M,r_2), ... (in `b`, one after another) to their places in B (M,R), and
 * estimates from the `sums` of all rows of A what placeFactorsProbed does, to the same bit. Throws KERNEL_SHAPE.
 */
export function interleaveProbed(
  {
    rows,
    ranks,
    b,
    sums,
  }: { readonly rows: number; readonly ranks: Int32Array; readonly b: Float32Array; readonly sums: Float64Array },
  into: Float32Array,
): StackEnergies {
  const rank = ranks.reduce((sum, each) => sum + each, 0)
  expectShape("interleaveProbed: values of B", rows * rank, b.length)
  expectShape("interleaveProbed: sums", rank * SUMS_PER_ROW, sums.length)
  expectShape("interleaveProbed: values of B to write", rows * rank, into.length)
  if (linalgBackend() === "reference")
    return energiesOf(placeColumns({ rows, ranks, b }, { at: 0, total: rank, into }, sums))
  const energies = new Float64Array(SUMS_PER_ROW)
  checkStatus("interleaveProbed", addon().interleaveFactors(rows, ranks, b, sums, into, energies))
  return energiesOf(energies)
}

/** True where every value is finite. */
function takeByReference({ cols, rank, scale, a, b, into }: TakenFactors): boolean {
  const factors = { cols, ranks: Int32Array.of(rank), scales: Float64Array.of(scale), a }
  into.sums.set(scaleRows(factors, into.a, signProbes(cols)))
  into.b.set(b)
  return [a, b].every((values) => values.every((value) => Number.isFinite(value)))
}
