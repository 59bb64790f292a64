import type { ModuleScore } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import type { ModuleScores } from "./api.js"
import { gainOf } from "./gain.js"

/** What one client said of its modules, and its share p_k of the cohort. */
export interface ScoreReport {
  readonly share: number
  /** Per module, the score of each of its rank-one triplets (AdaLoRA, arXiv:2303.10512, equations 8 to 11). */
  readonly scores: readonly ModuleScore[]
}

/**
 * Importance of every module that at least one client reported: the mean over those clients, weighed by p_k and
 * renormalised among them. A module's score is the sum over its triplets, divided by the gain of its rank: the planner
 * reckons that a module of importance S yields S gain(r) at rank r, so a sum seen at rank r stands for S = sum /
 * gain(r). That makes the probe at rank 1 and a plan at rank 16 comparable: the plain sum would favour whatever has a
 * large rank already, the mean of the triplets what has a small one. Modules that nobody reported are not in the
 * result. SCORES_NOT_FINITE for a score or share that is negative or no number.
 */
export function averageScores(reports: readonly ScoreReport[]): ModuleScores {
  const sums = new Map<string, { score: number; share: number }>()
  for (const { share, scores } of reports) {
    requireFinite("share of a client", share)
    if (share === 0) continue
    for (const { name, values } of scores) {
      if (values.length === 0) continue
      const sum = values.reduce((total, value) => total + value, 0)
      for (const value of values) requireFinite(`score of ${name}`, value)
      const before = sums.get(name) ?? { score: 0, share: 0 }
      const score = before.score + (share * sum) / gainOf(values.length)
      sums.set(name, { score, share: before.share + share })
    }
  }
  return new Map([...sums].map(([name, { score, share }]) => [name, score / share]))
}

function requireFinite(what: string, value: number): void {
  if (Number.isFinite(value) && value >= 0) return
  throw new LaminaError("SCORES_NOT_FINITE", `${what}: expected a finite number from 0, got ${value}`)
}
