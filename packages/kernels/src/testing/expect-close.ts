/**
 * Throws unless |actual - expected| <= absolute + relative · max|expected| for every element: the error of an f32 sum
 * is bounded by the size of its terms, not of its result. NaN never passes.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { relative, absolute }: { relative: number; absolute: number },
): void {
  if (actual.length !== expected.length) throw new Error(`expected ${expected.length} values, got ${actual.length}`)
  let largest = 0
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]!))
  const bound = absolute + relative * largest
  for (let i = 0; i < expected.length; i++)
    if (!(Math.abs(actual[i]! - expected[i]!) <= bound))
      throw new Error(`element ${i}: expected ${expected[i]} within ${bound}, got ${actual[i]}`)
}
