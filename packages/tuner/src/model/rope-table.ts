import type { RopeTable } from "@lamina/kernels"

import type { RopeScaling, RopeSettings } from "../api.js"

/**
 * cos and sin for positions 0..P-1, (P, headDim / 2). Angle of pair i at position p: p · theta^(-2i / headDim) (Su et
 * al. 2021, arXiv:2104.09864, equation 15), its frequency changed by `scaling`. The frequency and the angle are rounded
 * to f32 as transformers does: at position 8,000 an unrounded angle is another angle by 5e-4.
 */
export function ropeTable(shape: RopeSettings & { headDim: number; positions: number }): RopeTable {
  const { headDim, positions, scaling } = shape
  const half = headDim / 2
  const frequencies = ropeFrequencies(shape)
  const size = scaling?.type === "yarn" ? scaling.attentionFactor : 1
  const cos = new Float32Array(positions * half)
  const sin = new Float32Array(positions * half)
  for (const [i, frequency] of frequencies.entries())
    for (let position = 0; position < positions; position++) {
      const angle = Math.fround(position * frequency)
      cos[position * half + i] = Math.fround(Math.cos(angle)) * size
      sin[position * half + i] = Math.fround(Math.sin(angle)) * size
    }
  return { headDim, cos, sin }
}

/** Radians per position of every pair, (headDim / 2). */
export function ropeFrequencies({ theta, headDim, scaling }: RopeSettings & { headDim: number }): Float32Array {
  const plain = Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const exponent = Math.fround((2 * i) / headDim)
    return 1 / Math.fround(theta ** exponent)
  })
  switch (scaling?.type) {
    case undefined:
      return plain
    case "linear":
      return plain.map((frequency) => frequency / scaling.factor)
    case "llama3":
      return plain.map((frequency) => llama3Frequency(frequency, scaling))
    case "yarn":
      return yarnFrequencies(plain, { theta, headDim, scaling })
  }
}

type Scaling<Type> = Extract<RopeScaling, { readonly type: Type }>

/** Llama 3.1: short waves stay, long ones are stretched by the factor, those between by something between. */
function llama3Frequency(frequency: number, scaling: Scaling<"llama3">): number {
  const { factor, lowFactor, highFactor, originalContext } = scaling
  const turns = (originalContext * frequency) / (2 * Math.PI) // in the original context
  if (turns < lowFactor) return frequency / factor
  if (turns > highFactor) return frequency
  const smooth = (turns - lowFactor) / (highFactor - lowFactor)
  return ((1 - smooth) * frequency) / factor + smooth * frequency
}

/** Peng et al. 2023, arXiv:2309.00071, definition 2: pairs that turn often stay, those that turn rarely stretch. */
function yarnFrequencies(
  plain: Float32Array,
  { theta, headDim, scaling }: { theta: number; headDim: number; scaling: Scaling<"yarn"> },
): Float32Array {
  const { factor, originalContext, betaFast, betaSlow, truncate } = scaling
  // the pair that turns so often in the original context, as a real number
  const pairOf = (turns: number): number =>
    (headDim * Math.log(originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(theta))
  const [first, last] = [pairOf(betaFast), pairOf(betaSlow)]
  const low = Math.max(truncate ? Math.floor(first) : first, 0)
  const high = Math.min(truncate ? Math.ceil(last) : last, headDim - 1)
  const width = high === low ? 0.001 : high - low // as transformers, against a division by zero
  return plain.map((frequency, i) => {
    const stretched = Math.min(1, Math.max(0, (i - low) / width))
    return (frequency / factor) * stretched + frequency * (1 - stretched)
  })
}
