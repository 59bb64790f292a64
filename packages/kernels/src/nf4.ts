/**
 * The 16 values of NormalFloat 4, ascending: quantiles of N(0, 1) scaled into -1..1, with an exact zero (Dettmers et
 * al. 2023, arXiv:2305.14314, section 3 and appendix E). Each is an f32.
 */
export const NF4_LEVELS = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
)

const BORDERS = Float64Array.from({ length: 15 }, (_, i) => (NF4_LEVELS[i]! + NF4_LEVELS[i + 1]!) / 2)

/** The code 0..15 of the level nearest to `value`. */
export function nf4Code(value: number): number {
  let code = 0
  while (code < BORDERS.length && value > BORDERS[code]!) code++
  return code
}
