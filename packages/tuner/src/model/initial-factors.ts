import { nameHash, uniformArray } from "./counter-random.js"

/** Stream of the counter-based generator that initial A values come from; dropout has its own (train/gradients.ts). */
const STREAM_A = 0

/** A module's A that is to be drawn. */
interface InitialFactor {
  /** uint32. */
  readonly seed: number
  /** Of the module. */
  readonly name: string
  readonly rank: number
  readonly inFeatures: number
}

/**
 * A (rank, inFeatures), uniform in ±1/sqrt(inFeatures): Kaiming uniform with a = sqrt 5 (He et al. 2015,
 * arXiv:1502.01852), as PEFT draws it. Row i depends on the seed, the module's name, inFeatures and i alone, so that
 * a smaller rank is a prefix of a larger one (FFA-LoRA with unequal ranks, arXiv:2403.12313, shares A so).
 */
export function initialA({ seed, name, rank, inFeatures }: InitialFactor): Float32Array {
  const draw = { stream: STREAM_A, length: rank * inFeatures, bound: 1 / Math.sqrt(inFeatures) }
  return uniformArray([seed, nameHash(name)], draw)
}
