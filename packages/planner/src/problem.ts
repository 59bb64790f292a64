import { LaminaError } from "@lamina/protocol/errors"

import type { BaseShape, ClientPlan, DeviceProfile, Estimate, ModuleScores, PlanningTerms } from "./api.js"
import { gainOf } from "./gain.js"
import { laddersOf } from "./ladder.js"
import type { Candidate, Ladder } from "./ladder.js"
import { BYTES_PER_PARAMETER, memoryBytes } from "./memory-model.js"
import { relativeCost } from "./time-model.js"

/** One client's problem, checked. */
export interface Problem {
  readonly base: BaseShape
  readonly profile: DeviceProfile
  readonly terms: PlanningTerms
  readonly modules: readonly Candidate[]
  /** By the lowest block with an adapter. */
  readonly ladders: readonly Ladder[]
  /** Ranks this client may train, rising. */
  readonly ranks: readonly number[]
  /** Value of every module at the largest rank of the terms; a plan's value is a share of it. */
  readonly fullValue: number
}

/** All a plan decides but modules and ranks, of which only the lowest block counts here. */
export interface Setting extends Pick<ClientPlan, "precision" | "batch" | "gradientCheckpointing" | "steps"> {
  readonly lowestLayer: number
}

/** RECIPE_INVALID for terms that make no sense, SCORES_NOT_FINITE, PLAN_INFEASIBLE for a rank or precision. */
export function problemOf(
  base: BaseShape,
  profile: DeviceProfile,
  scores: ModuleScores,
  terms: PlanningTerms,
): Problem {
  const ranks = [...new Set(terms.ranks)].sort((left, right) => left - right)
  for (const [what, values] of Object.entries({ ranks, steps: [terms.steps], batch: [terms.batch] }))
    if (values.length === 0 || values.some((value) => !Number.isSafeInteger(value) || value < 1))
      throw new LaminaError("RECIPE_INVALID", `planning: expected whole ${what} from 1, got [${values.join(", ")}]`)
  const modules = base.modules.flatMap(({ name, outFeatures, inFeatures }) => {
    const score = scores.get(name) ?? 0
    if (!Number.isFinite(score) || score < 0)
      throw new LaminaError("SCORES_NOT_FINITE", `score of ${name}: expected a finite number from 0, got ${score}`)
    return score > 0 ? [{ name, layer: layerOf(name, base), size: outFeatures + inFeatures, score }] : []
  })
  const total = modules.reduce((sum, { score }) => sum + score, 0)
  if (modules.length === 0)
    throw new LaminaError("PLAN_INFEASIBLE", "expected a score above 0 for some module of the base, got none")
  const allowed = profile.rankMax === 0 ? ranks : ranks.filter((rank) => rank <= profile.rankMax)
  if (allowed.length === 0)
    throw new LaminaError("PLAN_INFEASIBLE", `rank: expected at least ${ranks[0]}, got at most ${profile.rankMax}`)
  const { precision } = profile
  if (precisionsOf(profile, terms).length === 0)
    throw new LaminaError(
      "PLAN_INFEASIBLE",
      `precision: expected one of ${terms.precisions.join(", ") || "none"}, got ${precision || "any"}`,
    )
  const shared = modules.map((module) => ({ ...module, score: module.score / total }))
  const ladders = laddersOf(shared, { ranks: allowed, layers: base.layers })
  const fullValue = gainOf(ranks.at(-1) as number)
  return { base, profile, terms, modules: shared, ladders, ranks: allowed, fullValue }
}

/** Block of a module by the first number in its name; one outside all blocks counts as of the lowest. */
export function layerOf(name: string, { layers }: BaseShape): number {
  return Math.min(Number(/\.(\d+)\./.exec(name)?.[1] ?? 0), layers - 1)
}

/** Precisions the client may hold the base in, in the order of the terms. */
export function precisionsOf(profile: DeviceProfile, terms: PlanningTerms): PlanningTerms["precisions"] {
  return terms.precisions.filter((precision) => profile.precision === "" || precision === profile.precision)
}

/** Limits of the client and the round; Infinity where there is none. */
export function limitsOf({ profile, terms }: Problem): { memoryBytes: number; uploadBytes: number; roundMs: number } {
  const orNone = (limit: number): number => (limit > 0 ? limit : Infinity)
  return {
    memoryBytes: orNone(profile.memoryBytes),
    uploadBytes: orNone(profile.uploadBytesMax),
    roundMs: orNone(terms.deadlineMs),
  }
}

/** Envelope and manifest head of an update, at most. */
const UPDATE_HEAD_BYTES = 2_048

/** Of one module: its manifest entry and the zeros that align A and B; and per rank a triplet's score. */
const MODULE_BYTES = 320
const SCORE_BYTES = 8

/** f32, plus what a module brings with it in the worst case: the smallest module at the smallest rank. */
function uploadBytesPerParameter({ modules, ranks }: Problem): number {
  const rank = ranks[0] as number
  const size = Math.min(...modules.map((module) => module.size))
  return 4 + (MODULE_BYTES + SCORE_BYTES * rank) / (rank * size)
}

/** What a plan of so many numbers in A and B takes. Times are 0 where the client's speed is not known. */
export function estimateOf(problem: Problem, setting: Setting, parameters: number): Estimate {
  const { base, profile, terms } = problem
  const over = (amount: number, perSecond: number): number => (perSecond > 0 ? (1_000 * amount) / perSecond : 0)
  const tokens = setting.steps * terms.batch * (terms.accumulate ?? 1) * terms.context
  const work = { ...setting, context: terms.context, parameters, frozenParameters: terms.frozenParameters }
  const uploadBytes = Math.ceil(UPDATE_HEAD_BYTES + uploadBytesPerParameter(problem) * parameters)
  return {
    memoryBytes: memoryBytes(base, work),
    trainMs: over(tokens * relativeCost(base, work), profile.tokensPerSecond) * profile.timeCorrection,
    downloadMs: over(terms.downloadBytes, profile.downloadBytesPerSecond),
    uploadMs: over(uploadBytes, profile.uploadBytesPerSecond),
    uploadBytes,
  }
}

/** Whether an estimate keeps to every limit. */
export function fits(problem: Problem, { memoryBytes, ...estimate }: Estimate): boolean {
  const limits = limitsOf(problem)
  return (
    memoryBytes <= limits.memoryBytes &&
    estimate.uploadBytes <= limits.uploadBytes &&
    estimate.downloadMs + estimate.trainMs + estimate.uploadMs <= limits.roundMs
  )
}

/**
 * Most numbers in A and B that keep to every limit under `setting`: memory, time and bytes all grow with them in a
 * straight line, so three limits are one. Below 0 where nothing fits; Infinity where nothing limits.
 */
export function capacityOf(problem: Problem, setting: Setting): number {
  const limits = limitsOf(problem)
  const [none, many] = [estimateOf(problem, setting, 0), estimateOf(problem, setting, 1e9)]
  const roundMs = (estimate: Estimate): number => estimate.downloadMs + estimate.trainMs + estimate.uploadMs
  const perByte = uploadBytesPerParameter(problem)
  const most = Math.min(
    (limits.memoryBytes - none.memoryBytes) / BYTES_PER_PARAMETER,
    (limits.uploadBytes - UPDATE_HEAD_BYTES) / perByte,
    roundMs(many) > roundMs(none)
      ? ((limits.roundMs - roundMs(none)) / (roundMs(many) - roundMs(none))) * 1e9
      : roundMs(none) <= limits.roundMs
        ? Infinity
        : -1,
  )
  if (most === Infinity) return most
  // both sides of what rounding may have moved
  const whole = Math.floor(most) + 1
  const exact = [whole, whole - 1, whole - 2].find(
    (parameters) => parameters >= 0 && fits(problem, estimateOf(problem, setting, parameters)),
  )
  return exact ?? -1
}
