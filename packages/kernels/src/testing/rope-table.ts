import type { RopeTable } from "../ops/rope.js"

/**
 * Angle of position p and pair i: p · theta^(-2i / headDim), in f64, cos and sin rounded once. Su et al. 2021
 * (arXiv:2104.09864), equation 15.
 */
export function ropeTable({
  positions,
  headDim,
  theta,
}: {
  positions: number
  headDim: number
  theta: number
}): RopeTable {
  const half = headDim / 2
  const angle = (index: number): number => Math.floor(index / half) * theta ** ((-2 * (index % half)) / headDim)
  const length = positions * half
  return {
    headDim,
    cos: Float32Array.from({ length }, (_, index) => Math.cos(angle(index))),
    sin: Float32Array.from({ length }, (_, index) => Math.sin(angle(index))),
  }
}
