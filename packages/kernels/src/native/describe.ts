import { addon, nativeAvailable, nativeProblem } from "./addon.js"

/** Peaks measured just now over all processors of the machine, GFLOP/s. */
export interface KernelPeak {
  readonly f32: number
  /** The best bf16 unit there is: dot products or tiles; 0 without one. */
  readonly bf16: number
  /** Of that, dot products of vectors alone; 0 without them. */
  readonly bf16Dot: number
}

export type KernelDescription =
  | {
      readonly native: true
      readonly isa: string
      readonly bf16: string
      readonly threads: number
      readonly peak: KernelPeak
    }
  | { readonly native: false; readonly problem: string }

/** What kernels this process has and how fast the machine multiplies; measures for about half a second. */
export function describeKernels(): KernelDescription {
  if (!nativeAvailable()) return { native: false, problem: nativeProblem()! }
  const native = addon()
  const { f32Fma, bf16Dot, bf16Amx } = native.measurePeak(native.processors())
  return {
    native: true,
    isa: native.isa(),
    bf16: native.bf16Family(),
    threads: native.processors(),
    peak: { f32: f32Fma, bf16: Math.max(bf16Dot, bf16Amx), bf16Dot },
  }
}
