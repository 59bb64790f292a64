/** A stretch of a row: `length` values from `start` on. */
export interface Stretch {
  readonly data: Float64Array
  readonly start: number
  readonly length: number
}

/**
 * Turns x into the vector u of the reflection H = I - beta·u·uᵀ that maps x to (alpha, 0, ..., 0), |alpha| = ||x||, in
 * place. beta is 0 when x is such a multiple already. Golub & Van Loan, Matrix Computations, 5.1.3; alpha's sign is the
 * one without cancellation.
 */
export function makeReflector({ data, start, length }: Stretch): { alpha: number; beta: number } {
  let tail = 0
  for (let i = start + 1; i < start + length; i++) tail += data[i]! * data[i]!
  const first = data[start]!
  if (tail === 0) return { alpha: first, beta: 0 }
  const norm = Math.sqrt(first * first + tail)
  const alpha = first > 0 ? -norm : norm
  const u0 = first - alpha
  data[start] = u0
  return { alpha, beta: 2 / (u0 * u0 + tail) }
}

/** x <- H·x in place, for `u` of the same length as x. */
export function reflect(x: Float64Array, start: number, u: Stretch, beta: number): void {
  if (beta === 0) return
  const { data, start: from, length } = u
  let dot = 0
  for (let i = 0; i < length; i++) dot += x[start + i]! * data[from + i]!
  const factor = beta * dot
  for (let i = 0; i < length; i++) x[start + i] = x[start + i]! - factor * data[from + i]!
}
