import type { Adapter, ModuleScore } from "@lamina/protocol"

/** Both smoothing factors, as in AdaLoRA's own training of language models. */
const BETA = 0.85

/** Smoothed sensitivity I and its smoothed variation U of every value of one trained array; changed in place. */
export interface Sensitivity {
  readonly smoothed: Float32Array
  readonly variation: Float32Array
}

export function createSensitivity(length: number): Sensitivity {
  return { smoothed: new Float32Array(length), variation: new Float32Array(length) }
}

/**
 * One step of sensitivity, before `param` moves: with s = |w · g|, I <- b I + (1-b) s and U <- b U + (1-b) |s - I|
 * (AdaLoRA, Zhang et al. 2023, arXiv:2303.10512, section 3.2), b = 0.85. `gradient` is the loss's own: neither
 * clipped nor with a proximal term.
 */
export function observe({ smoothed, variation }: Sensitivity, param: Float32Array, gradient: Float32Array): void {
  for (let i = 0; i < param.length; i++) {
    const sensitivity = Math.abs((param[i] as number) * (gradient[i] as number))
    const mean = BETA * (smoothed[i] as number) + (1 - BETA) * sensitivity
    smoothed[i] = mean
    variation[i] = BETA * (variation[i] as number) + (1 - BETA) * Math.abs(sensitivity - mean)
  }
}

/**
 * Importance of every rank-one triplet of every module, at least 0: the mean of I · U over its column of B plus the
 * mean over its row of A (AdaLoRA, section 3.2, for B A = P diag(l) Q with l in its factors). `sensitivities` in the
 * order of what is trained: A then B of each module, or B alone where A is frozen; a frozen A adds nothing.
 */
export function tripletScores(
  { modules }: Adapter,
  sensitivities: readonly Sensitivity[],
  { freezeA = false }: { freezeA?: boolean },
): ModuleScore[] {
  const perModule = freezeA ? 1 : 2
  return modules.map(({ name, rank, inFeatures, outFeatures }, i) => {
    const ofB = sensitivities[perModule * i + perModule - 1] as Sensitivity
    const ofA = freezeA ? undefined : (sensitivities[perModule * i] as Sensitivity)
    const values = Array.from({ length: rank }, (_, r) => {
      const column = meanImportance(ofB, { first: r, step: rank, count: outFeatures })
      const row = ofA ? meanImportance(ofA, { first: r * inFeatures, step: 1, count: inFeatures }) : 0
      return column + row
    })
    return { name, values }
  })
}

function meanImportance(
  { smoothed, variation }: Sensitivity,
  { first, step, count }: { first: number; step: number; count: number },
): number {
  let sum = 0
  for (let i = 0; i < count; i++) {
    const at = first + i * step
    sum += (smoothed[at] as number) * (variation[at] as number)
  }
  return sum / count
}
