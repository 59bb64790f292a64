import type { RopeTable } from "@lamina/kernels"

/**
 * cos and sin for positions 0..P-1, (P, headDim / 2). Angle of pair i at position p: p · theta^(-2i / headDim) (Su et
 * al. 2021, arXiv:2104.09864, equation 15). The frequency and the angle are rounded to f32 as transformers does: at
 * position 8,000 an unrounded angle is another angle by 5e-4.
 */
export function ropeTable(shape: { headDim: number; theta: number; positions: number }): RopeTable {
  const half = shape.headDim / 2
  const cos = new Float32Array(shape.positions * half)
  const sin = new Float32Array(shape.positions * half)
  for (let i = 0; i < half; i++) {
    const exponent = Math.fround((2 * i) / shape.headDim)
    const frequency = Math.fround(1 / Math.fround(shape.theta ** exponent))
    for (let position = 0; position < shape.positions; position++) {
      const angle = Math.fround(position * frequency)
      cos[position * half + i] = Math.cos(angle)
      sin[position * half + i] = Math.sin(angle)
    }
  }
  return { headDim: shape.headDim, cos, sin }
}
