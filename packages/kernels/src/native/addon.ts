import { createRequire } from "node:module"

import { KernelError } from "../errors.js"
import type { FrozenValues } from "../frozen.js"

/** format (FORMAT), rows, cols, codes, scales, mins, superScales, superMins, offset: a FrozenWeight spread out. */
export type WeightArguments = readonly [
  format: number,
  rows: number,
  cols: number,
  codes: FrozenValues,
  scales: FrozenValues | undefined,
  mins: FrozenValues | undefined,
  superScales: FrozenValues | undefined,
  superMins: FrozenValues | undefined,
  offset: FrozenValues | undefined,
]

type Optional = Float32Array | undefined
type Factors = readonly [rank: number, a: Optional, b: Optional]

/** tokens, precision (PRECISION), weight, bias, global, adapter, scale, dropout, seed. */
export type LinearArguments = readonly [
  number,
  number,
  ...WeightArguments,
  Optional,
  ...Factors,
  ...Factors,
  number,
  number,
  number,
]
type Array32 = Float32Array
type Array64 = Float64Array

/** rows, d, dy, x, weight, eps, plus, dx. */
type NormGradArguments = readonly [number, number, Array32, Array32, Array32, number, Optional, Array32]

/** tokens, heads, kvHeads, headDim, scale, bf16?, window, offsets. */
export type AttentionArguments = readonly [number, number, number, number, number, boolean, number, Int32Array]

/**
 * The functions of the C++ addon (native/addon.cpp). Kernels answer a status (status.ts) and check type and length of
 * every array before they touch it; outputs come last and are overwritten as a whole.
 */
export interface Addon {
  linear(...args: [...LinearArguments, x: Array32, plus: Optional, y: Array32]): number
  linearGrad(
    ...args: [...LinearArguments, dy: Array32, x: Array32, plus: Optional, dx: Optional, da: Optional, db: Optional]
  ): number
  rmsNorm(rows: number, d: number, x: Array32, weight: Array32, ...rest: [eps: number, y: Array32]): number
  rmsNormGrad(...args: NormGradArguments): number
  /** rows, heads, headDim, rows of the table, x, positions, cos, sin, inverse, y. */
  rope(...args: [number, number, number, number, Array32, Int32Array, Array32, Array32, boolean, Array32]): number
  attention(...args: [...AttentionArguments, q: Array32, k: Array32, v: Array32, y: Array32]): number
  attentionGrad(
    ...args: [
      ...AttentionArguments,
      dy: Array32,
      q: Array32,
      k: Array32,
      v: Array32,
      dq: Array32,
      dk: Array32,
      dv: Array32,
    ]
  ): number
  /** tokens, heads, kvHeads, headDim, scale, window, past, q, k, v, y. */
  cachedAttention(
    ...args: [number, number, number, number, number, number, number, Array32, Array32, Array32, Array32]
  ): number
  /** rows, d, x, weight, bias, eps, y. */
  layerNorm(...args: [number, number, Array32, Array32, Array32, number, Array32]): number
  layerNormGrad(...args: NormGradArguments): number
  gelu(x: Array32, tanh: boolean, y: Array32): number
  geluGrad(dy: Array32, x: Array32, tanh: boolean, dx: Array32): number
  swiglu(gate: Array32, up: Array32, y: Array32): number
  swigluGrad(dy: Array32, gate: Array32, up: Array32, dgate: Array32, dup: Array32): number
  /** `kept` gets gate and up rounded to bf16 in one word, as no number anyone can read. */
  swigluKeep(gate: Array32, up: Array32, y: Array32, kept: Array32): number
  swigluOfKept(kept: Array32, y: Array32): number
  /** `halves` has 16 words for every 32 floats begun; bf16. */
  halve(x: Array32, halves: Array32): number
  unhalve(x: Array32, halves: Array32): number
  swigluGradOfKept(dy: Array32, kept: Array32, dgate: Array32, dup: Array32): number
  add(a: Array32, b: Array32, y: Array32): number
  embedding(...args: [...WeightArguments, ids: Int32Array, y: Array32]): number
  /** tokens, precision, weight, x, targets, scores (loss, share predicted right), dx. */
  lmHead(
    ...args: [number, number, ...WeightArguments, x: Array32, targets: Int32Array, scores: Array32, dx: Optional]
  ): number
  /** param, grad, m, v, learningRate, beta1, beta2, eps, weightDecay, step, gradScale. */
  adamw(...args: [Array32, Array32, Array32, Array32, number, number, number, number, number, number, number]): number
  /** m, n, k, whether a is (k, m) and not (m, k), a, b (k, n), c (m, n); all of linear algebra is in f64. */
  matrixProduct(...args: [number, number, number, boolean, Array64, Array64, Array64]): number
  /** m, n, k, alpha, a (m, k), b (k, n), c (m, n), to which alpha·a·b is added. */
  addMatrixProduct(...args: [number, number, number, number, Array64, Array64, Array64]): number
  /** How many (24 at most), and of each: m, n, k, scale, a (k, n), b (m, k), c (m, n), to which scale·b·a is added. */
  addFactors(count: number, ...args: (number | Array32 | Array64)[]): number
  /** m, n, ranks, scales, a, b, at, total, out a (total, n), out b (m, total), signs (n), energies (8). */
  stackFactors(
    ...args: [
      ...[m: number, n: number, ranks: Int32Array, scales: Array64, a: Array32, b: Array32, at: number, total: number],
      ...[outA: Array32, outB: Array32, signs: Optional, energies: Array64 | undefined],
    ]
  ): number
  /**
   * How many modules (4 at most), and of each: m, n, ranks (16 at most), scales, a (rank, n) and b (m, rank) of every
   * rank, at, total, out a (total, n), out b (m, total), signs (n), products before (m, 8) or undefined, and after.
   * Last: finite, 1 or 0 for each.
   */
  takeFactors(modules: number, ...args: (number | Array32 | Array64 | Int32Array | undefined)[]): number
  /** m, rank, products (m, 8), energies (8). */
  productEnergies(...args: [m: number, rank: number, products: Array32, energies: Array64]): number
  /** An index, or -1. */
  firstBeyond(values: Array32, max: number): number
  copyFloats(values: Array32, into: Array32): number
  /**
   * How many problems (6 at most), and of each: count, length, vectors (count, length), v (count, rowSpread), triangle
   * (core, count), t (core, core).
   */
  rowQr(problems: number, ...args: (number | Array64)[]): number
  /** rows, count, length, v, t, coordinates (rows, core), out (rows, length). */
  rowApplyQ(...args: [number, number, number, Array64, Array64, Array64, Array64]): number
  /** Elements from one row of v to the next. */
  rowSpread(length: number): number
  /** size, matrix, values, vectors as rows. */
  eigen(size: number, matrix: Array64, values: Array64, vectors: Array64): number
  /** rows, cols, scale, transposed, x, y. */
  widen(...args: [number, number, number, boolean, Array32, Array64]): number
  /** rows, cols, transposed, x, y. */
  narrow(...args: [number, number, boolean, Array64, Array32]): number
  transpose(rows: number, cols: number, x: Array64, y: Array64): number
  /** hash (32), number of parts (at most 32), parts. */
  blake2b(hash: Uint8Array, count: number, ...parts: Uint8Array[]): number
  /** bytes, bytes of a piece, hashes (32 for each piece). */
  blake2bLeaves(bytes: Uint8Array, piece: number, hashes: Uint8Array): number
  blake2bLeavesLater(bytes: Uint8Array, piece: number, hashes: Uint8Array): Promise<number>
  /** state (208). */
  blake2bStart(state: Uint8Array): number
  blake2bUpdate(state: Uint8Array, bytes: Uint8Array): number
  /** state, hash (32). */
  blake2bFinish(state: Uint8Array, hash: Uint8Array): number
  hasSegments(): boolean
  /** key (32), aad, bytes of a segment, plaintext, out (with a tag of 16 for each segment). */
  sealSegments(key: Uint8Array, aad: Uint8Array, segment: number, plaintext: Uint8Array, out: Uint8Array): number
  /** As sealSegments, of parts; then bytes of which `out` is the end, bytes of a piece, hashes (32 for each piece). */
  sealSegmentsLater(
    ...args: [
      ...[key: Uint8Array, aad: Uint8Array, segment: number, plaintext: readonly Uint8Array[], out: Uint8Array],
      ...[whole: Uint8Array, piece: number, hashes: Uint8Array],
    ]
  ): Promise<number>
  /** key (32), aad, bytes of a segment, sealed, out (plaintext); false too where lengths do not fit. */
  openSegments(key: Uint8Array, aad: Uint8Array, segment: number, sealed: Uint8Array, out: Uint8Array): boolean
  /** As openSegments, then the peak of each segment; anything but 0 where that says false. */
  openSegmentsLater(...args: [...Parameters<Addon["openSegments"]>, peaks: Float32Array]): Promise<number>
  /** Whether this system has that. */
  poolGivesWay(): boolean
  /** For calls from this JavaScript thread; 1 runs inline. */
  setThreads(count: number): number
  threads(): number
  processors(): number
  /** Instruction set in use: amx, avx512bf16, avx512, avx2, neon or portable. */
  isa(): string
  /** Arithmetic behind precision "bf16": bf16-amx, bf16-dot, or f32 where that is faster. */
  bf16Family(): string
  /** Arithmetic behind precision "int8": int8-vnni, or that of bf16 where there is none. */
  int8Family(): string
  /** Process-wide; false when this machine lacks it. */
  setIsa(name: string): boolean
  isas(): string[]
  /** For memory that nothing has touched yet: bytes up to its first huge page (HUGE_PAGE_BYTES). */
  preferHugePages(memory: Uint8Array): number
  /** fd, bytes of the file, length of the memory, its first bytes; where the file begins in it, or -1. */
  mapFile(fd: number, bytes: number, length: number, memory: Uint8Array): number
  /** GFLOP/s measured now on that many threads; 0: the unit is missing. */
  measurePeak(threads: number): { f32Fma: number; bf16Dot: number; bf16Amx: number; int8Dot: number }
}

type Loaded = { readonly addon: Addon } | { readonly problem: string }
let loaded: Loaded | undefined

function load(): Loaded {
  try {
    const require = createRequire(import.meta.url)
    return { addon: require("../../build/Release/lamina_kernels.node") as Addon }
  } catch (error) {
    const code = (error as { code?: string }).code
    const missing = code === "MODULE_NOT_FOUND"
    return {
      problem: missing
        ? "the addon was not built (node scripts/build-native.mjs in @lamina/kernels says why)"
        : `the addon does not load: ${(error as Error).message.split("\n")[0]}`,
    }
  }
}

/** The addon; throws KERNEL_UNAVAILABLE with the reason where it cannot be loaded. */
export function addon(): Addon {
  loaded ??= load()
  if ("problem" in loaded) throw new KernelError("KERNEL_UNAVAILABLE", `backend "native": ${loaded.problem}`)
  return loaded.addon
}

/** Whether the C++ addon loads here. */
export function nativeAvailable(): boolean {
  return nativeProblem() === undefined
}

/** Why the C++ addon does not load here; undefined when it does. */
export function nativeProblem(): string | undefined {
  loaded ??= load()
  return "problem" in loaded ? loaded.problem : undefined
}
