import { LaminaError } from "@lamina/protocol/errors"

import type { SamplingSettings } from "../api.js"
import { nameHash, threefry } from "../model/counter-random.js"
import { bestFirst } from "./best-first.js"

/** Second key word of the counter-based generator that tokens are drawn from. */
const STREAM = nameHash("sampling")

/**
 * The next token by `scores` (V), which it may change. At temperature 0 the best, the lowest id of equals. In this
 * order, as transformers does: the scores of tokens in `seen` are divided by the repetition penalty where positive and
 * multiplied where negative (Keskar et al. 2019, arXiv:1909.05858, section 4.1); all are divided by the temperature;
 * the `topK` best are kept; of those the fewest that together reach the probability `topP` (Holtzman et al. 2019,
 * arXiv:1904.09751, section 3.1); of those the ones with at least `minP` times the best one's probability (Nguyen et
 * al. 2024, arXiv:2407.01082); one is drawn, by seed, sequence and step alone. SCORES_NOT_FINITE.
 */
export function sampleToken(
  scores: Float32Array,
  settings: SamplingSettings,
  at: { readonly seen: ReadonlySet<number>; readonly sequence: number; readonly step: number },
): number {
  const { temperature, repetitionPenalty = 1 } = settings
  if (repetitionPenalty !== 1) penalize(scores, at.seen, repetitionPenalty)
  const best = indexOfMost(scores)
  if (temperature === 0) return best
  const weights = new Float64Array(scores.length)
  const most = scores[best] as number
  for (let id = 0; id < weights.length; id++) weights[id] = Math.exp(((scores[id] as number) - most) / temperature)
  const kept = keptTokens(weights, settings)
  const [high, low] = threefry([settings.seed >>> 0, STREAM], [at.step, at.sequence])
  const uniform = (high * 2 ** 21 + (low >>> 11)) / 2 ** 53
  let left = uniform * massOf(weights, kept)
  for (const id of kept) {
    left -= weights[id] as number
    if (left < 0) return id
  }
  return kept[0] as number // rounding: the weights summed to less the second time
}

function penalize(scores: Float32Array, seen: ReadonlySet<number>, penalty: number): void {
  for (const id of seen) {
    const score = scores[id] as number
    scores[id] = score > 0 ? score / penalty : score * penalty
  }
}

function indexOfMost(scores: Float32Array): number {
  let best = 0
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id] as number
    if (!Number.isFinite(score))
      throw new LaminaError("SCORES_NOT_FINITE", `score of token ${id}: expected a finite number, got ${score}`, {
        hint: "the base or an adapter holds values that overflow; check them with lamina eval",
      })
    if (score > (scores[best] as number)) best = id
  }
  return best
}

/** The ids that may be drawn; `weights` (V) are probabilities up to a common factor, the best one's is 1. */
function keptTokens(weights: Float64Array, { topK, topP = 1, minP = 0 }: SamplingSettings): readonly number[] {
  const all = topK === undefined || topK >= weights.length
  if (all && topP >= 1) return Array.from(weights.keys()).filter((id) => (weights[id] as number) >= minP)
  const candidates = all ? bestFirst(weights) : take(bestFirst(weights), topK)
  const enough = topP * massOf(weights, all ? weights.keys() : (candidates as readonly number[]))
  const kept: number[] = []
  let mass = 0
  for (const id of candidates) {
    const weight = weights[id] as number
    if (kept.length > 0 && (mass >= enough || weight < minP)) break
    kept.push(id)
    mass += weight
  }
  return kept
}

function take(ids: Generator<number>, count: number): number[] {
  const taken: number[] = []
  for (const id of ids) if (taken.push(id) === count) break
  return taken
}

function massOf(weights: Float64Array, ids: Iterable<number>): number {
  let mass = 0
  for (const id of ids) mass += weights[id] as number
  return mass
}
