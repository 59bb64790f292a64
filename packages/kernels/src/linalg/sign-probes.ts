import { dropHash } from "../drop-hash.js"

/** As many as native/kernels.hpp has. */
export const SIGN_PROBES = 4

/** Rows of a Hadamard matrix: any two of its columns are orthogonal. */
const PATTERNS: readonly (readonly number[])[] = [
  [1, 1, 1, 1],
  [1, -1, 1, -1],
  [1, 1, -1, -1],
  [1, -1, -1, 1],
]

/** Lengths there are probes of at one time: a family's layers have two to four. */
const KEPT_LENGTHS = 8

const kept = new Map<number, Float32Array>()

/** Fixed signs, +1 or -1 (N): element j is +1 where dropHash(0, j) is 2^31 or more. Callers must not change them. */
export function randomSigns(length: number): Float32Array {
  const known = kept.get(length)
  if (known) return known
  for (const oldest of kept.keys()) if (kept.size >= KEPT_LENGTHS) kept.delete(oldest)
  const signs = Float32Array.from({ length }, (_, j) => (dropHash(0, j) >= 2 ** 31 ? 1 : -1))
  kept.set(length, signs)
  return signs
}

/**
 * SIGN_PROBES fixed vectors of +1 and -1 (4,N): element j of vector p is randomSigns(N)[j] times that of row p of a
 * 4 x 4 Hadamard matrix in column j mod 4, so that four sums over j give the products with all of them. For any matrix
 * X the mean of ||X·z||² over random signs is ||X||_F² (Hutchinson 1990, "A stochastic estimator of the trace of the
 * influence matrix"). Pairs of columns of X with j mod 4 different cancel in the mean of the four. It deviates by at
 * most sqrt(2 / e) of it (one standard deviation), and by half of that, as with four vectors drawn one by one, where
 * the other pairs carry a fourth of what all do: e = ||X||_F⁴ / ||XᵀX||_F² is the number of equal singular values that
 * would spread alike.
 */
export function signProbes(length: number): Float32Array {
  const signs = randomSigns(length)
  return Float32Array.from(
    { length: SIGN_PROBES * length },
    (_, i) => signs[i % length]! * PATTERNS[Math.floor(i / length)]![(i % length) % 4]!,
  )
}
