import { expectShape, KernelError } from "../errors.js"
import { addon } from "../native/addon.js"
import { checkStatus } from "../native/status.js"
import { linalgBackend } from "./linalg.js"
import { referenceStack } from "./reference/stack.js"
import { randomSigns, SIGN_PROBES, signProbes } from "./sign-probes.js"

/** Factors of one module (M,N), block after block of rank r_k; R is the sum of them. */
export interface FactorBlocks {
  /** M and N. */
  readonly rows: number
  readonly cols: number
  readonly ranks: Int32Array
  /** What each A_k is multiplied by. */
  readonly scales: Float64Array
  /** Rows of A_1, A_2, ... (R,N). */
  readonly a: Float32Array
  /** B_1 (M,r_1), then B_2 (M,r_2), ... */
  readonly b: Float32Array
}

/** Rows of A (total,N) and columns of B (M,total) from `at` on. */
export interface StackPlace {
  readonly at: number
  readonly total: number
  /** `a` may be the A of the blocks itself where `at` is 0. */
  readonly into: { readonly a: Float32Array; readonly b: Float32Array }
}

/** Estimates of ||B·A||_F² with A scaled in f64, and of ||B·E||_F², E what rounding A to f32 did. */
export interface StackEnergies {
  readonly size: number
  readonly rounding: number
}

/**
 * Writes s_k·A_k, each value rounded to f32 once, and the columns of B_k to their places. Throws KERNEL_SHAPE where a
 * length is not what ranks, M, N and `place` say.
 */
export function placeFactors(blocks: FactorBlocks, place: StackPlace): void {
  stackInto(blocks, place, false)
}

/**
 * placeFactors, and in the same pass what rounding did, by sign probes (signProbes): O(R·(M + N)). Natively the probes
 * are summed in f32, so products of B and the rounding below some 1e-38 are taken for zero. Throws KERNEL_SHAPE.
 */
export function placeFactorsProbed(blocks: FactorBlocks, place: StackPlace): StackEnergies {
  return energiesOf(stackInto(blocks, place, true))
}

/** Means over the probes, whose energies for A come first. */
export function energiesOf(energies: Float64Array): StackEnergies {
  const mean = (from: number): number =>
    energies.subarray(from, from + SIGN_PROBES).reduce((sum, energy) => sum + energy / SIGN_PROBES, 0)
  return { size: mean(0), rounding: mean(SIGN_PROBES) }
}

function stackInto(blocks: FactorBlocks, place: StackPlace, probed: boolean): Float64Array {
  const { rows, cols, ranks, scales, a, b } = blocks
  const { at, total, into } = place
  const rank = ranks.reduce((sum, each) => sum + each, 0)
  expectShape("stack: scales", ranks.length, scales.length)
  expectShape("stack: values of A", rank * cols, a.length)
  expectShape("stack: values of B", rows * rank, b.length)
  expectShape("stack: values of A to write", total * cols, into.a.length)
  expectShape("stack: values of B to write", rows * total, into.b.length)
  if (at + rank > total)
    throw new KernelError("KERNEL_SHAPE", `stack: expected place for ${rank} ranks from ${at}, got ${total} in all`)
  if (linalgBackend() === "reference") return referenceStack(blocks, place, probed ? signProbes(cols) : undefined)
  const energies = new Float64Array(2 * SIGN_PROBES)
  const probes = { signs: probed ? randomSigns(cols) : undefined, energies: probed ? energies : undefined }
  const places = [at, total, into.a, into.b] as const
  checkStatus("stack", addon().stackFactors(rows, cols, ranks, scales, a, b, ...places, probes.signs, probes.energies))
  return energies
}

/** Index of the first value that is NaN, infinite, or more than `max` from 0; -1 where there is none. */
export function firstBeyond(values: Float32Array, max = Number.MAX_VALUE): number {
  if (linalgBackend() === "native") return addon().firstBeyond(values, max)
  const largest = Math.min(max, Number.MAX_VALUE)
  for (let i = 0; i < values.length; i++) if (!(Math.abs(values[i] as number) <= largest)) return i
  return -1
}

/** Copies `values` to the beginning of `into`, by all threads. Throws KERNEL_SHAPE where lengths differ. */
export function copyFloats(values: Float32Array, into: Float32Array): void {
  expectShape("copyFloats: values", into.length, values.length)
  if (linalgBackend() === "native") checkStatus("copyFloats", addon().copyFloats(values, into))
  else into.set(values)
}

/** Floats of undefined content: writing zeros first, where the allocator has used memory, costs as much as a copy. */
export function freshFloats(length: number): Float32Array {
  const memory = Buffer.allocUnsafeSlow(4 * length)
  return new Float32Array(memory.buffer, memory.byteOffset, length)
}
