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
 * large rank already, the mean of the triplets what has a small one.
 *
 * Scores also grow with the steps behind them (B starts at zero, and I·U is quadratic in it), so what is compared is
 * their relation within one report: each is multiplied by what makes its sum over the modules that `known` has equal to
 * theirs there. Without that, whatever was trained once would count for more than all that was only probed. A report
 * that is zero on all of those says nothing. Modules that nobody reported are not in the result. SCORES_NOT_FINITE for
 * a score or share that is negative or no number.
 */
export function averageScores(reports: readonly ScoreReport[], known: ModuleScores): ModuleScores {
  const sums = new Map<string, { score: number; share: number }>()
  for (const { share, scores } of reports) {
    requireFinite("share of a client", share)
    if (share === 0) continue
    const importance = new Map(scores.flatMap((score) => importanceOf(score)))
    const scale = scaleTo(known, importance)
    if (scale === undefined) continue
    for (const [name, score] of importance) {
      const before = sums.get(name) ?? { score: 0, share: 0 }
      sums.set(name, { score: before.score + share * scale * score, share: before.share + share })
    }
  }
  return new Map([...sums].map(([name, { score, share }]) => [name, score / share]))
}

function importanceOf({ name, values }: ModuleScore): [string, number][] {
  for (const value of values) requireFinite(`score of ${name}`, value)
  const sum = values.reduce((total, value) => total + value, 0)
  return values.length === 0 ? [] : [[name, sum / gainOf(values.length)]]
}

/** 1 where nothing that is known was reported; undefined where all of that is zero. */
function scaleTo(known: ModuleScores, reported: ReadonlyMap<string, number>): number | undefined {
  let [wanted, got, shared] = [0, 0, 0]
  for (const [name, score] of reported) {
    const before = known.get(name)
    if (before === undefined) continue
    ;[wanted, got, shared] = [wanted + before, got + score, shared + 1]
  }
  if (shared === 0 || wanted === 0) return 1
  return got === 0 ? undefined : wanted / got
}

function requireFinite(what: string, value: number): void {
  if (Number.isFinite(value) && value >= 0) return
  throw new LaminaError("SCORES_NOT_FINITE", `${what}: expected a finite number from 0, got ${value}`)
}
