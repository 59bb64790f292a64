import { addon, nativeAvailable, nativeProblem } from "./addon.js"

/** Peaks measured just now over all processors of the machine, GFLOP/s. */
export interface KernelPeak {
  readonly f32: number
  /** The best bf16 unit there is: dot products or tiles; 0 without one. */
  readonly bf16: number
  /** Of that, dot products of vectors alone; 0 without them. */
  readonly bf16Dot: number
  /** int8 dot products of vectors, GOP/s; 0 without them. */
  readonly int8Dot: number
}

export type KernelDescription =
  | {
      readonly native: true
      readonly isa: string
      /** Arithmetic behind precision bf16: bf16-amx, bf16-dot or f32. */
      readonly bf16: string
      /** Behind precision int8: int8-vnni, or that of bf16 where the processor has no such unit. */
      readonly int8: string
      readonly threads: number
      readonly peak: KernelPeak
    }
  | { readonly native: false; readonly problem: string }

/** What kernels this process has and how fast the machine multiplies; measures for about half a second. */
export function describeKernels(): KernelDescription {
  if (!nativeAvailable()) return { native: false, problem: nativeProblem()! }
  const native = addon()
  const { f32Fma, bf16Dot, bf16Amx, int8Dot } = native.measurePeak(native.processors())
  return {
    native: true,
    isa: native.isa(),
    bf16: native.bf16Family(),
    int8: native.int8Family(),
    threads: native.processors(),
    peak: { f32: f32Fma, bf16: Math.max(bf16Dot, bf16Amx), bf16Dot, int8Dot },
  }
}
