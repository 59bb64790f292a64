/** The rank at which a module gives half of what it could. */
const HALF_GAIN_RANK = 8

/**
 * Share of a module's importance that an adapter of rank r picks up, 0 to 1: 1 - 2^(-r/8). Every further direction
 * counts for less, as the singular values of a weight's change fall off (Hu et al. 2021, arXiv:2106.09685, section 7.2:
 * rank 4 to 8 already does nearly what rank 64 does). The concave shape is what planning needs; the half-way rank is
 * our choice.
 */
export function gainOf(rank: number): number {
  return 1 - 2 ** (-rank / HALF_GAIN_RANK)
}
