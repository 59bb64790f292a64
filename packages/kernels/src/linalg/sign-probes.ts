import { dropHash } from "../drop-hash.js"

/** As many as native/kernels.hpp has. */
export const SIGN_PROBES = 4

/** Lengths there are probes of at one time: a family's layers have two to four. */
const KEPT_LENGTHS = 8

const kept = new Map<number, Float32Array>()

/**
 * SIGN_PROBES fixed vectors of +1 and -1 (4,N): element j of vector p is +1 where dropHash(p, j) is 2^31 or more. For
 * any matrix X the mean of ||X·z||² over independent random signs is ||X||_F² (Hutchinson 1990, "A stochastic estimator
 * of the trace of the influence matrix"); the mean of P of them deviates by at most sqrt(2 / (P·e)) of it (one standard
 * deviation), where e = ||X||_F⁴ / ||XᵀX||_F² is the number of equal singular values that would spread alike. Callers
 * must not change it.
 */
export function signProbes(length: number): Float32Array {
  const known = kept.get(length)
  if (known) return known
  for (const oldest of kept.keys()) if (kept.size >= KEPT_LENGTHS) kept.delete(oldest)
  const signs = Float32Array.from({ length: SIGN_PROBES * length }, (_, i) =>
    dropHash(Math.floor(i / length), i % length) >= 2 ** 31 ? 1 : -1,
  )
  kept.set(length, signs)
  return signs
}
