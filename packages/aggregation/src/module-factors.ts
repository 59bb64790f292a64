import { scaleOf } from "@lamina/protocol"
import type { AdapterModule, ScalingRule } from "@lamina/protocol"

import { matrixOf, productNorms, Scratch, stackColumns, stackRows } from "@lamina/kernels/linalg"
import type { Matrix } from "@lamina/kernels/linalg"

/** Memory for the factors of one module after another. */
export interface FactorScratches {
  readonly b: Scratch
  readonly a: Scratch
}

export function newScratches(): FactorScratches {
  return { a: new Scratch(), b: new Scratch() }
}

/** B (M,R) and `scale`·A (R,N) in f64. */
export function matricesOf(module: AdapterModule, scale: number): { b: Matrix; a: Matrix } {
  const { outFeatures, inFeatures, rank } = module
  return {
    b: matrixOf(module.b, { rows: outFeatures, cols: rank, scale: 1 }),
    a: matrixOf(module.a, { rows: rank, cols: inFeatures, scale }),
  }
}

/** A module of scale 1 (alpha = rank) from B (M,R) and A (R,N), each rounded to f32 once. */
export function moduleOf(name: string, { b, a }: { b: Matrix; a: Matrix }): AdapterModule {
  return {
    ...{ name, outFeatures: b.rows, inFeatures: a.cols, rank: a.rows, alpha: a.rows, scaling: "lora" },
    ...{ a: new Float32Array(a.data), b: new Float32Array(b.data) },
  }
}

/** ||s·B·A||_F. */
export function normOf(module: AdapterModule): number {
  const { b, a } = matricesOf(module, scaleOf(module))
  return productNorms(b, [a])[0]!
}

/** The alpha with which a module of this rank has scale s. */
export function alphaOf(scale: number, { rank, scaling }: { rank: number; scaling: ScalingRule }): number {
  return scaling === "rslora" ? scale * Math.sqrt(rank) : scale * rank
}

/**
 * Rows `from`..`to`-1 of A with their columns of B, at the module's own scale; 0 <= from < to <= rank. The module
 * itself where that is all of it.
 */
export function rankSlice(module: AdapterModule, { from, to }: { from: number; to: number }): AdapterModule {
  if (from === 0 && to === module.rank) return module
  const { outFeatures, inFeatures, scaling } = module
  const rank = to - from
  const b = new Float32Array(outFeatures * rank)
  for (let i = 0; i < outFeatures; i++) b.set(module.b.subarray(i * module.rank + from, i * module.rank + to), i * rank)
  return {
    ...{ ...module, rank, alpha: alphaOf(scaleOf(module), { rank, scaling }) },
    ...{ a: module.a.slice(from * inFeatures, to * inFeatures), b },
  }
}

/**
 * `first`, then the rows of `rest`, as one module at the scale of `first`, whose factors are copied as they are; those
 * of `rest` take the ratio of the scales in A, rounded once.
 */
export function appended(first: AdapterModule, rest: AdapterModule): AdapterModule {
  const scale = scaleOf(first)
  const parts = [matricesOf(first, 1), matricesOf(rest, scaleOf(rest) / scale)]
  const rank = first.rank + rest.rank
  return {
    ...{ ...first, rank, alpha: alphaOf(scale, { rank, scaling: first.scaling }) },
    a: new Float32Array(stackRows(parts.map(({ a }) => a)).data),
    b: new Float32Array(stackColumns(parts.map(({ b }) => b)).data),
  }
}
