import { KernelError } from "../../errors.js"

/** Steps allowed per eigenvalue; two are usual. */
const STEPS_MAX = 60

/**
 * Eigenvalues of the symmetric tridiagonal matrix with this diagonal (N) and off-diagonal (N, the last unused), by QL
 * with implicit Wilkinson shifts. Writes the eigenvalues into `diagonal`, unsorted, spoils `offDiagonal`, and returns
 * the eigenvectors as rows (N,N). Bowdler, Martin, Reinsch & Wilkinson 1968, "The QR and QL algorithms for symmetric
 * matrices". Throws KERNEL_FAILED where it does not converge.
 */
export function tridiagonalEigen(diagonal: Float64Array, offDiagonal: Float64Array): Float64Array {
  const size = diagonal.length
  const vectors = new Float64Array(size * size)
  for (let i = 0; i < size; i++) vectors[i * size + i] = 1
  let scale = 0
  for (let i = 0; i < size; i++) scale = Math.max(scale, Math.abs(diagonal[i]!) + Math.abs(offDiagonal[i]!))
  const negligible = scale * 2 ** -53
  for (let low = 0; low < size; low++) {
    for (let steps = 0; ; steps++) {
      let high = low
      while (high < size - 1 && Math.abs(offDiagonal[high]!) > negligible) high++
      if (high === low) break
      if (steps === STEPS_MAX)
        throw new KernelError("KERNEL_FAILED", `symmetricEigen: no convergence in ${STEPS_MAX} steps`)
      sweep(diagonal, offDiagonal, vectors, low, high)
    }
    offDiagonal[low] = 0
  }
  return vectors
}

/** One implicit QL step on rows low..high: plane rotations chase the bulge upwards. */
function sweep(d: Float64Array, e: Float64Array, vectors: Float64Array, low: number, high: number): void {
  const half = (d[low + 1]! - d[low]!) / (2 * e[low]!)
  const root = Math.sqrt(half * half + 1)
  let g = d[high]! - d[low]! + e[low]! / (half + (half < 0 ? -root : root))
  let [sine, cosine, shift] = [1, 1, 0]
  for (let i = high - 1; i >= low; i--) {
    const f = sine * e[i]!
    const b = cosine * e[i]!
    const r = Math.sqrt(f * f + g * g)
    e[i + 1] = r
    if (r === 0) {
      // the matrix splits here: what is above is done in the next step
      d[i + 1] = d[i + 1]! - shift
      e[high] = 0
      return
    }
    sine = f / r
    cosine = g / r
    g = d[i + 1]! - shift
    const t = (d[i]! - g) * sine + 2 * cosine * b
    shift = sine * t
    d[i + 1] = g + shift
    g = cosine * t - b
    rotate(vectors, i, d.length, { sine, cosine })
  }
  d[low] = d[low]! - shift
  e[low] = g
  e[high] = 0
}

/** Rows i and i + 1 turned in their plane. */
function rotate(
  vectors: Float64Array,
  i: number,
  size: number,
  { sine, cosine }: { sine: number; cosine: number },
): void {
  const upper = i * size
  const lower = upper + size
  for (let k = 0; k < size; k++) {
    const below = vectors[lower + k]!
    const above = vectors[upper + k]!
    vectors[lower + k] = sine * above + cosine * below
    vectors[upper + k] = cosine * above - sine * below
  }
}
